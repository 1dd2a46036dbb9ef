import Admin
import CacheStorage
import Edge
import EdgeHTTP
import FleetLink
import Foundation
import HTTPCaching
import HTTPFields
import NIOHTTP1

/// What the admin port of an edge offers about its cache.
struct CacheEndpoints: Sendable {
    let administration: CacheAdministration
    /// Purges of the whole fleet; nil where this edge orders none.
    var fleet: FleetOrders?

    var all: [AdminEndpoint] {
        [
            AdminEndpoint(method: "POST", path: "/cache/purge") { await self.purge($0) },
            AdminEndpoint(method: "GET", path: "/cache/entries") { await self.entries($0) },
            AdminEndpoint(method: "GET", path: "/cache") { _ in self.statistics() },
        ]
    }

    // MARK: Purging

    private func purge(_ request: AdminRequest) async -> AdminAnswer {
        let order: PurgeOrder
        do {
            order = try JSONDecoder().decode(PurgeOrder.self, from: Data(request.body.utf8))
        } catch {
            return .failure(
                400, "the body is not a purge order",
                remedy:
                    "Send {\"urls\": [\"https://…\"]}, or \"prefixes\", \"hosts\", \"tags\", or \"everything\": true.")
        }
        guard order.count > 0 else {
            return .failure(
                400, "the order names nothing",
                remedy: "Name \"urls\", \"prefixes\", \"hosts\", \"tags\" or \"everything\".")
        }
        guard order.count <= PurgeOrder.maximum else {
            return .failure(
                413, "the order names more than \(PurgeOrder.maximum) things",
                remedy: "Send several orders, or purge a prefix or a tag.")
        }
        do {
            if order.fleet == true {
                guard let fleet else {
                    return .failure(
                        409, "this edge orders no purges of a fleet",
                        remedy: "Set signing-key under fleet in its configuration, and list that key at every edge.")
                }
                // What is wrong here is wrong at every edge.
                _ = try self.scopes(of: order)
                return AdminAnswer(FleetPurgeReport(try await fleet.order(order.fleetPurge)))
            }
            let result = try await self.administration.purge(
                try self.scopes(of: order), softly: order.soft == true)
            return AdminAnswer(
                PurgeReport(
                    memory: result.memory, disk: result.disk, fetches: result.fetches,
                    soft: order.soft == true))
        } catch let failure as CacheAdministration.Failure {
            return Self.answer(failure)
        } catch let failure as FleetDesk.Failure {
            return .failure(503, "\(failure)", remedy: "Send the order again when the bus is there.")
        } catch {
            return .failure(
                500, "purged from memory, but not for certain from disk: \(error)",
                remedy: "See the edge's log; the disk may be full or failing. Send the order again.")
        }
    }

    private func scopes(of order: PurgeOrder) throws(CacheAdministration.Failure) -> [PurgeScope] {
        var scopes: [PurgeScope] = []
        for url in order.urls ?? [] { scopes += try self.administration.scopes(ofURL: url) }
        for url in order.prefixes ?? [] { scopes += try self.administration.scopes(ofPrefix: url) }
        for host in order.hosts ?? [] { scopes.append(try self.administration.host(host)) }
        for tag in order.tags ?? [] { scopes.append(try self.administration.tag(tag)) }
        if order.everything == true { scopes.append(.everything) }
        return scopes
    }

    // MARK: Inspection

    private func entries(_ request: AdminRequest) async -> AdminAnswer {
        guard let url = request.parameter("url") else {
            return .failure(
                400, "the parameter \"url\" is missing", remedy: "Ask for /cache/entries?url=https%3A%2F%2F…")
        }
        do {
            let key = try self.administration.key(url)
            let now = self.administration.now
            let entries = try await self.administration.entries(for: key)
            return AdminAnswer(
                EntriesReport(key: key.uri, site: key.site, entries: entries.map { EntryReport($0, now: now) }))
        } catch let failure as CacheAdministration.Failure {
            return Self.answer(failure)
        } catch {
            return .failure(500, "\(error)")
        }
    }

    private func statistics() -> AdminAnswer {
        do {
            let figures = try self.administration.statistics()
            let usage = try self.administration.siteUsage()
            return AdminAnswer(
                StoreReport(
                    memoryBytes: figures.memoryBytes, memoryEntries: figures.memoryEntries,
                    evictions: figures.evictions, purges: figures.purges, fetches: figures.fills,
                    sites: usage.mapValues { .init(bytes: $0.bytes, entries: $0.entries, limit: $0.limit) },
                    disk: figures.disk.map {
                        .init(bytes: $0.bytes, entries: $0.entries, isWritable: $0.isWritable)
                    }))
        } catch let failure as CacheAdministration.Failure {
            return Self.answer(failure)
        } catch {
            return .failure(500, "\(error)")
        }
    }

    private static func answer(_ failure: CacheAdministration.Failure) -> AdminAnswer {
        switch failure {
        case .noStore:
            .failure(
                503, "nothing is stored here",
                remedy: "The edge is starting or ending, or all its sites are relay sites or have cache: false.")
        case .badURL(let url):
            .failure(400, "\"\(url)\" is not a URL that is cached", remedy: "Write https://HOST[:PORT]/PATH.")
        case .unknownHost(let host):
            .failure(
                404, "no site of this edge that stores responses has the domain \"\(host)\"",
                remedy: "Compare it with \"domains\" in the edge's configuration.")
        case .badHost(let host):
            .failure(
                400, "\"\(host)\" is not a host", remedy: "Write HOST, or HOST:PORT where clients' URLs have a port.")
        case .badTag(let tag):
            .failure(
                400, "\"\(tag)\" is not one tag",
                remedy: "Name each tag by itself, as it stands in Surrogate-Key or Cache-Tag.")
        }
    }
}

extension EntryReport {
    init(_ description: EntryDescription, now: Int64) {
        let response = description.entry.response
        let freshness = response.freshness
        let timeToLive = response.timeToLive(at: now)
        let state: String =
            if freshness.flags.contains(.invalidated) {
                "invalidated"
            } else if freshness.flags.contains(.noCache) {
                "validated-on-use"
            } else {
                timeToLive > 0 ? "fresh" : freshness.flags.contains(.softlyPurged) ? "softly-purged" : "stale"
            }
        let extent: String
        switch response.extent {
        case .complete: extent = "complete"
        case .partial(let first, let last, let total):
            extent = "bytes \(first)-\(last)/\(total.map { String($0) } ?? "*")"
        }
        var selectedBy: [String: String?] = [:]
        for selector in response.variant.selectors {
            // For people: what is not UTF-8 shows as U+FFFD.
            selectedBy[selector.name.text] = .some(selector.value.map { String(decoding: $0, as: UTF8.self) })
        }
        let fields = response.fields
        func text(_ name: KnownField) -> String? { fields.first(name).map { fields.text($0.value) } }
        self.init(
            place: description.place.rawValue, status: UInt(response.status), bytes: response.bodyLength,
            extent: extent,
            age: response.currentAge(at: now) / 1000, timeToLive: timeToLive / 1000, state: state,
            lifetimeFrom: freshness.source.text, lifetime: freshness.lifetime / 1000,
            staleWhileRevalidate: freshness.staleWhileRevalidate / 1000, staleIfError: freshness.staleIfError / 1000,
            selectedBy: selectedBy, entityTag: text(.etag),
            lastModified: text(.lastModified), tags: response.tags, cost: description.cost)
    }
}
