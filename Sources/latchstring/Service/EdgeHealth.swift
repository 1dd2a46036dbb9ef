import Admin
import CacheStorage
import Edge
import EdgeHTTP
import Foundation
import NIOConcurrencyHelpers
import PeerLink
import Settings

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What an edge's admin port says of its health: whether clients get what they come for, and where not, which site and why.
struct EdgeHealth: Sendable {
    let readiness: EdgeReadiness
    let cache: CacheAdministration
    /// Of the last reload.
    let settings: NIOLockedValueBox<EdgeSettings>

    /// Of `/health/ready`.
    var checks: [HealthCheck] {
        [
            HealthCheck(name: "stopping") { self.readiness.isStopping ? .failed("it takes no more clients") : .ok },
            HealthCheck(name: "sites") { self.sitesOutcome },
            HealthCheck(name: "origins") { self.originsOutcome },
            HealthCheck(name: "ocsp") { self.staplesOutcome },
            HealthCheck(name: "store") { self.storeOutcome },
            HealthCheck(name: "descriptors") { Self.descriptorsOutcome },
        ]
    }

    /// `/health/sites`: each site's own state.
    var endpoint: AdminEndpoint {
        AdminEndpoint(method: "GET", path: "/health/sites") { _ in
            let report = SitesReport(sites: self.sites.map { SitesReport.Site($0) })
            return AdminAnswer(report)
        }
    }

    private var now: Int64 { Int64(Date().timeIntervalSince1970) }

    private var sites: [SiteHealth] { self.readiness.sites(at: self.now) }

    private func needs(_ part: EdgeSettings.ReadyPart) -> Bool {
        self.settings.withLockedValue { $0.readyNeeds.contains(part) }
    }

    /// Sites that are named in one outcome; the others are counted.
    private static let mostNamed = 20

    private static func joined(_ reasons: [String]) -> String {
        let more = reasons.count - Self.mostNamed
        return reasons.prefix(Self.mostNamed).joined(separator: "; ") + (more > 0 ? "; and \(more) more" : "")
    }

    private var sitesOutcome: HealthCheck.Outcome {
        var reasons = self.sites.filter { !$0.problems.isEmpty }.map { site in
            "\(site.name): \(site.problems.joined(separator: ", "))"
        }
        // Also where only native clients need one.
        reasons += self.readiness.problems.filter { $0.key.hasPrefix("key holder ") }.map { "\($0.key): \($0.value)" }
            .sorted()
        return reasons.isEmpty ? .ok : .failed(Self.joined(reasons))
    }

    private var originsOutcome: HealthCheck.Outcome {
        let reasons = self.sites.compactMap { site in site.origin.map { "\(site.name): \($0.cause)" } }
        guard !reasons.isEmpty else { return .ok }
        return self.needs(.origins) ? .failed(Self.joined(reasons)) : .degraded(Self.joined(reasons))
    }

    /// Clients are served all the same.
    private var staplesOutcome: HealthCheck.Outcome {
        let reasons = self.sites.flatMap(\.stapleProblems)
        return reasons.isEmpty ? .ok : .degraded(Self.joined(reasons))
    }

    private var storeOutcome: HealthCheck.Outcome {
        guard let disk = (try? self.cache.statistics())?.disk, !disk.isWritable else { return .ok }
        let reason = "the disk store takes nothing: see the log for why"
        return self.needs(.store) ? .failed(reason) : .degraded(reason)
    }

    /// So many files must still be there to be opened.
    private static let leastDescriptors = 8

    private static var descriptorsOutcome: HealthCheck.Outcome {
        var copies: [CInt] = []
        defer { for copy in copies { close(copy) } }
        for _ in 0..<Self.leastDescriptors {
            let copy = fcntl(2, F_DUPFD_CLOEXEC, 0)
            guard copy >= 0 || errno == EBADF else {
                return .failed("file descriptors are at their end: raise LimitNOFILE= or ulimit -n")
            }
            if copy >= 0 { copies.append(copy) }
        }
        return .ok
    }
}

private struct SitesReport: Encodable {
    struct Site: Encodable {
        var site: String
        var mode: String
        /// `ok`, `degraded` (its origin fails, or no OCSP response is shown) or `failed`.
        var status: String
        var domains: [String]
        var problems: [String]
        /// Why no OCSP response is shown.
        var ocsp: [String]
        var keyHolder: KeyHolder?
        var certificateNotAfter: Int64?
        var origin: Origin?

        enum CodingKeys: String, CodingKey {
            case site, mode, status, domains, problems, ocsp, origin
            case keyHolder = "keyholder"
            case certificateNotAfter = "certificate-not-after"
        }

        init(_ health: SiteHealth) {
            self.site = health.name
            self.mode = health.mode
            self.status =
                !health.problems.isEmpty
                ? "failed" : health.origin != nil || !health.stapleProblems.isEmpty ? "degraded" : "ok"
            self.domains = health.domains
            self.problems = health.problems
            self.ocsp = health.stapleProblems
            self.keyHolder = health.keyHolder.map { KeyHolder($0) }
            self.certificateNotAfter = health.notAfter
            self.origin = health.origin.map {
                Origin(cause: $0.cause, failures: $0.failures, since: $0.since / 1000)
            }
        }
    }

    struct KeyHolder: Encodable {
        struct Address: Encodable {
            var address: String
            /// `ready`, `silent` or `down`.
            var state: String
            /// What an answer takes; nil: unknown.
            var microseconds: Int64?
        }

        var name: String
        var connected: Bool
        var addresses: [Address]

        init(_ health: SiteHealth.KeyHolder) {
            self.name = health.name
            self.connected = health.isConnected
            self.addresses = health.addresses.map {
                Address(address: $0.address, state: $0.state.rawValue, microseconds: $0.latency.map { $0 / 1000 })
            }
        }
    }

    struct Origin: Encodable {
        var cause: String
        var failures: Int
        /// Seconds since 1970 UTC.
        var since: Int64
    }

    var sites: [Site]
}
