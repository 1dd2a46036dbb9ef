import CacheStorage
import EdgeHTTP
import FleetBus
import FleetLink
import HTTPCaching

/// An edge's stores, as its fleet's purges are done to them.
struct FleetCache: FleetStore {
    /// nil: no site of this edge stores anything, and every purge is done as soon as it is read.
    let store: ResponseStore?
    let administration: CacheAdministration

    /// Purges that wait for the disk at once.
    private static let atOnce = 512

    private struct Work: Hashable {
        var target: FleetPurge.Target
        var isSoft: Bool
    }

    var isEmpty: Bool {
        guard let figures = self.store?.statistics else { return true }
        return figures.memoryEntries == 0 && (figures.disk?.entries ?? 0) == 0
    }

    func remove(_ rights: PurgeRights) async throws { try await self.apply(rights, .remove) }

    func confirm(_ rights: PurgeRights) async throws { try await self.apply(rights, .invalidate) }

    private func apply(_ rights: PurgeRights, _ kind: PurgeKind) async throws {
        guard let store else { return }
        switch rights {
        case .everything: _ = try await store.purgeDurably(.everything, kind)
        case .some(let hosts, let tags):
            let split = Dictionary(grouping: hosts) { $0.hasPrefix("*.") }
            let names = HostSet(names: Set(split[false] ?? []), patterns: Set(split[true] ?? []))
            if !hosts.isEmpty { _ = try await store.purgeDurably(.hosts(names), kind) }
            if !tags.isEmpty { _ = try await store.purgeDurably(.tags(tags), kind) }
        }
        // What is acknowledged outlasts a loss of power, too.
        try await store.flushIndex()
    }

    func carryOut(_ purges: [FleetPurge]) async throws -> [Bool] {
        guard let store else { return purges.map { _ in true } }
        var understood = purges.map { _ in true }
        var work: [Work] = []
        var scopes: [Work: [PurgeScope]] = [:]
        // Hosts are looked for in all that is stored: once for all of them, and not once for each.
        var hosts: [Bool: Set<String>] = [:]
        for (index, purge) in purges.enumerated() {
            for target in purge.targets {
                let one = Work(target: target, isSoft: purge.isSoft)
                // What removes everything does what came before, and what comes twice is done once.
                if one == Work(target: .everything, isSoft: false) {
                    work = []
                    scopes = [:]
                    hosts = [:]
                }
                guard scopes[one] == nil else { continue }
                guard let named = self.scopes(of: target) else {
                    understood[index] = false
                    continue
                }
                if case .hosts(let set)? = named.first {
                    hosts[purge.isSoft, default: []].formUnion(set.authorities)
                } else {
                    scopes[one] = named
                    work.append(one)
                }
            }
        }
        let soft = PurgeKind.markStale(at: self.administration.now)
        for (isSoft, authorities) in hosts {
            _ = try await store.purgeDurably(.hosts(HostSet(authorities: authorities)), isSoft ? soft : .remove)
        }
        for start in stride(from: 0, to: work.count, by: Self.atOnce) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for one in work[start..<min(start + Self.atOnce, work.count)] {
                    for scope in scopes[one] ?? [] {
                        group.addTask { _ = try await store.purgeDurably(scope, one.isSoft ? soft : .remove) }
                    }
                }
                try await group.waitForAll()
            }
        }
        try await store.flushIndex()
        return understood
    }

    /// nil: nothing can be stored under that name.
    private func scopes(of target: FleetPurge.Target) -> [PurgeScope]? {
        do throws(CacheAdministration.Failure) {
            switch target {
            case .url(let url): return try self.administration.scopes(ofURL: url)
            case .prefix(let url): return try self.administration.scopes(ofPrefix: url)
            case .host(let host): return [try self.administration.host(host)]
            case .tag(let tag): return [try self.administration.tag(tag)]
            case .everything: return [.everything]
            }
        } catch {
            guard case .unknownHost = error else { return nil }
            // No site has the host now. The disk may hold what one stored that had it, and may have it again.
            return Self.host(of: target).map { [.host($0)] }
        }
    }

    /// `host[:port]` as it stands in what is stored.
    private static func host(of target: FleetPurge.Target) -> String? {
        let authority: Substring
        switch target {
        case .host(let text): authority = Substring(text)
        case .url(let url), .prefix(let url):
            authority = url.dropFirst("https://".count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        case .tag, .everything: return nil
        }
        guard target.hostName != nil else { return nil }
        let key = CacheKey(site: "", scheme: "https", authority: String(authority), target: "/")
        return String(key.uri.dropFirst("https://".count).prefix { $0 != "/" })
    }
}
