import Edge
import EdgeModel
import FleetBus
import Foundation
import NIOConcurrencyHelpers
import Settings
import TLSWire
import Telemetry

/// What an edge says of itself to its fleet, taken from the metrics that it keeps anyway.
struct FleetFacts: Sendable {
    /// Of the edge's last reload.
    let settings: NIOLockedValueBox<EdgeSettings>
    let metrics: PrometheusRegistry
    let readiness: EdgeReadiness
    let started = Int64(Date().timeIntervalSince1970 * 1000)

    /// Outcomes of the cache that ask no origin for the response.
    private static let hits: Set<String> = ["hit", "stale", "stale-if-error", "revalidated", "collapsed"]
    /// More than one line of a heartbeat can hold is left out.
    private static let maximumSites = 200

    func heartbeat() -> EdgeHeartbeat {
        let settings = self.settings.withLockedValue { $0 }
        var heartbeat = EdgeHeartbeat(version: LatchstringVersion.text, started: self.started, busTime: 0)
        var requests: [String: Int64] = [:]
        var hits: [String: Int64] = [:]
        var links: [String: Int64] = [:]
        for series in MetricSample.all(in: self.metrics.exposition()) where abs(series.value) < 1e15 {
            switch series.name {
            case "latchstring_edge_connections": heartbeat.connections += Int(series.value)
            case "latchstring_edge_requests_total":
                if let site = series.labels["site"] { requests[site, default: 0] += Int64(series.value) }
            case "latchstring_cache_requests_total":
                guard let site = series.labels["site"], let outcome = series.labels["outcome"] else { continue }
                if Self.hits.contains(outcome) { hits[site, default: 0] += Int64(series.value) }
            case "latchstring_key_links_ready":
                if let holder = series.labels["keyholder"] { links[holder] = Int64(series.value) }
            case "latchstring_edge_certificate_not_after_seconds":
                guard let domain = series.labels["domain"], heartbeat.certificates.count < Self.maximumSites else {
                    continue
                }
                heartbeat.certificates.append(.init(domain: domain, notAfter: Int64(series.value)))
            default: continue
            }
        }
        for site in settings.sites.prefix(Self.maximumSites) {
            let name = site.domains.first?.description ?? ""
            let mode: String =
                switch site.mode {
                case .keyless: "keyless"
                case .handoff: "handoff"
                case .relay: "relay"
                }
            heartbeat.sites.append(
                .init(name: name, mode: mode, requests: requests[name] ?? 0, hits: hits[name] ?? 0))
        }
        let problems = self.readiness.problems
        let revokedBy = self.readiness.revokedBy
        for entry in settings.keyHolders {
            var problem = problems["key holder \(entry.name)"]
            if problem == nil, links[entry.name] ?? 0 == 0 { problem = "no link" }
            heartbeat.keyHolders.append(
                .init(name: entry.name, problem: problem, isRevoked: revokedBy.contains(entry.name)))
        }
        return heartbeat
    }
}
