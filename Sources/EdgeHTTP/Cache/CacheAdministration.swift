public import CacheStorage
package import EdgeModel
public import HTTPCaching
import HTTPFields
import NIOConcurrencyHelpers
import TLSWire

/// What an edge's operator can see of its stores, and remove from them. Made before the edge starts; knows the stores
/// while it runs.
public final class CacheAdministration: Sendable {
    private struct Site {
        var name: String
        var policy: CachePolicy
    }

    private struct State {
        var store: ResponseStore?
        /// By generation: those before the last one still serve the connections that they have, under their own rules.
        var tables: [Int: ServerNameTable<Site>] = [:]
        /// Another process has what is stored.
        var isSuspended = false

        var newestFirst: [ServerNameTable<Site>] { self.tables.sorted { $0.key > $1.key }.map(\.value) }
    }

    /// Why there is no answer.
    public enum Failure: Error, Equatable, Sendable {
        /// No site stores anything, or the edge is starting or shutting down.
        case noStore
        /// What was given is no `https://host[:port]/…`.
        case badURL(String)
        /// No site that stores anything has the host.
        case unknownHost(String)
        /// What was given is no `host[:port]`.
        case badHost(String)
        /// No response can have this tag.
        case badTag(String)
    }

    private let state = NIOLockedValueBox(State())
    private let clock: @Sendable () -> Int64

    public init() {
        self.clock = CacheClock.now
    }

    package func opened(_ store: ResponseStore?, for sites: [EdgeModel.Site], generation: Int = 1) {
        var table = ServerNameTable<Site>()
        for site in sites {
            guard let cache = site.mode.termination?.cache else { continue }
            for domain in site.domains {
                _ = table.insert(Site(name: site.name, policy: cache.policy), for: domain)
            }
        }
        self.state.withLockedValue { state in
            state.store = store
            state.tables[generation] = table
        }
    }

    /// The last connection of a generation has ended.
    package func forget(generation: Int) {
        self.state.withLockedValue { $0.tables[generation] = nil }
    }

    /// While another process takes over, there is nothing to be seen or removed here.
    package func suspend(_ isSuspended: Bool) {
        self.state.withLockedValue { $0.isSuspended = isSuspended }
    }

    package func closed() {
        self.state.withLockedValue { $0 = State() }
    }

    /// Milliseconds since 1970 UTC, as ages are reckoned.
    public var now: Int64 { self.clock() }

    private func store() throws(Failure) -> ResponseStore {
        guard let store = self.state.withLockedValue({ $0.isSuspended ? nil : $0.store }) else { throw .noStore }
        return store
    }

    // MARK: Names

    /// The key under which responses for a URL are stored.
    ///
    /// - Parameter url: `https://host[:port]/path?query`, with the port that clients name, if they do.
    public func key(_ url: String) throws(Failure) -> CacheKey {
        let (sites, authority, target) = try self.resolve(url)
        return Self.key(sites[0], authority, target)
    }

    /// What a URL means: its key, and those that connections from before a reload use.
    public func scopes(ofURL url: String) throws(Failure) -> [PurgeScope] {
        let (sites, authority, target) = try self.resolve(url)
        var keys: [CacheKey] = []
        for site in sites {
            let key = Self.key(site, authority, target)
            if !keys.contains(key) { keys.append(key) }
        }
        return keys.map { .key($0) }
    }

    private static func key(_ site: Site, _ authority: String, _ target: String) -> CacheKey {
        CacheKey(site: site.name, scheme: "https", authority: authority, target: target, query: site.policy.query)
    }

    /// What a prefix of URLs means. Percent-encodings are compared as text, their digits in upper case.
    public func scopes(ofPrefix url: String) throws(Failure) -> [PurgeScope] {
        let (sites, authority, target) = try self.resolve(url)
        return Set(sites.map(\.name)).sorted().map { name in
            .prefix(
                site: name, uri: CacheKey(site: name, scheme: "https", authority: authority, target: target).uri)
        }
    }

    /// What a host means, with the port that clients name, if they do.
    ///
    /// - Parameter text: `host[:port]`, as in URLs: in any letter case, the port 443 written or not.
    public func host(_ text: String) throws(Failure) -> PurgeScope {
        guard !text.contains(where: { "/?#".contains($0) }) else { throw .badHost(text) }
        let prefix: String
        do throws(Failure) {
            prefix = try self.key("https://\(text)").uri
        } catch .badURL {
            throw .badHost(text)
        }
        return .host(String(prefix.dropFirst("https://".count).prefix { $0 != "/" }))
    }

    /// What a tag means: as it stands in `Surrogate-Key` or `Cache-Tag`, without spaces around it.
    public func tag(_ text: String) throws(Failure) -> PurgeScope {
        func isSpace(_ character: Character) -> Bool { character == " " || character == "\t" }
        var tag: Substring = text.drop(while: isSpace)
        while let last = tag.last, isSpace(last) { tag.removeLast() }
        // One of them splits at spaces, the other at commas.
        let isOne = !(tag.contains(",") && tag.contains(where: isSpace))
        guard !tag.isEmpty, isOne, tag.utf8.count <= StoredResponse.maximumTagBytes else { throw .badTag(text) }
        return .tag(String(tag), site: nil)
    }

    /// At least one site: the one that has the host now, and those that had it before a reload.
    private func resolve(_ url: String) throws(Failure) -> ([Site], authority: String, target: String) {
        let scheme = "https://"
        guard url.lowercased().hasPrefix(scheme), !url.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else {
            throw .badURL(url)
        }
        let rest = url.dropFirst(scheme.count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        let authority = String(rest[..<end])
        let bytes = Array(authority.utf8)
        guard let parsed = Authority(bytes.span, bytes.indices), parsed.kind == .name,
            let name = try? ServerName(String(decoding: bytes[parsed.host], as: UTF8.self))
        else { throw .badURL(url) }
        let sites = self.state.withLockedValue { $0.newestFirst.compactMap { $0.value(for: name) } }
        guard !sites.isEmpty else { throw .unknownHost(name.rawValue) }
        let target = rest[end...].prefix { $0 != "#" }
        return (sites, authority, target.isEmpty ? "/" : String(target))
    }

    // MARK: Purging

    /// How many responses a purge met: in memory, on disk, and on their way from the origin.
    public struct Purged: Equatable, Sendable {
        public var memory = 0
        public var disk = 0
        public var fetches = 0
    }

    /// Removes responses, or marks them as stale. When it returns, no event loop serves them any more, and a restart
    /// does not bring them back.
    public func purge(_ scopes: [PurgeScope], softly: Bool) async throws -> Purged {
        let store = try self.store()
        var result = Purged()
        for scope in scopes {
            let one = try await store.purgeDurably(scope, softly ? .markStale(at: self.now) : .remove)
            result.memory += one.memoryEntries
            result.disk += one.diskEntries
            result.fetches += one.fills
        }
        return result
    }

    // MARK: Inspection

    /// What is stored for a URL.
    public func entries(for key: CacheKey) async throws -> [EntryDescription] {
        await (try self.store()).describe(key)
    }

    public func statistics() throws -> StoreStatistics { try self.store().statistics }

    public func siteUsage() throws -> [String: SiteUsage] { try self.store().siteUsage }
}
