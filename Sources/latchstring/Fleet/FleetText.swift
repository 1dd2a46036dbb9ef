import FleetBus
import FleetLink
import Foundation

/// Reports on a fleet for people, and their JSON.
enum FleetText {
    // MARK: Edges

    static func table(_ census: FleetCensus, fleet: String) -> String {
        var rows: [[String]] = [
            ["EDGE", "STATE", "SEEN", "VERSION", "SITES", "CLIENTS", "HITS", "KEY HOLDERS", "CERTIFICATES"]
        ]
        for edge in census.edges { rows.append(self.row(edge, now: census.busTime / 1000)) }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var text = "fleet \(fleet)"
        if let server = census.server { text += " on \(server.address) (\(server.name) \(server.version))" }
        text += "\n"
        for row in rows {
            let line = row.enumerated().map { index, cell in
                cell.padding(toLength: widths[index], withPad: " ", startingAt: 0)
            }.joined(separator: "  ")
            text += line.trimmingSuffix(" ") + "\n"
        }
        if census.edges.isEmpty { text += "No edge has been heard.\n" }
        for edge in census.edges {
            for note in self.notes(edge) { text += "\(edge.name): \(note)\n" }
        }
        for name in census.unsigned {
            text += "warning: what stands under \(name) was signed by no edge of this fleet, and is ignored\n"
        }
        return text
    }

    /// `alive`, or what comes before it.
    static func state(_ edge: FleetCensus.Edge) -> String {
        guard edge.standing == .alive, edge.heartbeat?.isRevoked == true else { return edge.standing.rawValue }
        return "revoked"
    }

    private static func row(_ edge: FleetCensus.Edge, now: Int64) -> [String] {
        guard let heartbeat = edge.heartbeat else {
            return [edge.name, self.state(edge)] + Array(repeating: "-", count: 7)
        }
        let up = heartbeat.keyHolders.count { $0.problem == nil }
        let first = heartbeat.certificates.map(\.notAfter).min()
        return [
            edge.name, self.state(edge), edge.age.map { self.duration(max(0, $0)) } ?? "-",
            self.plain(String(heartbeat.version.prefix(20))),
            "\(heartbeat.sites.count)", "\(heartbeat.connections)",
            heartbeat.hitRatio.map { "\(Int($0.rounded()))%" } ?? "-",
            heartbeat.keyHolders.isEmpty ? "-" : "\(up) of \(heartbeat.keyHolders.count)",
            first.map { "\(max(0, ($0 - now) / 86_400)) days" } ?? "-",
        ]
    }

    private static func notes(_ edge: FleetCensus.Edge) -> [String] {
        guard let heartbeat = edge.heartbeat else { return [] }
        var notes: [String] = []
        for holder in heartbeat.keyHolders {
            if holder.isRevoked {
                notes.append("key holder \(holder.name) gives it no grant: \(holder.problem ?? "revoked")")
            } else if let problem = holder.problem {
                notes.append("key holder \(holder.name): \(problem)")
            }
        }
        if let skew = edge.skew, abs(skew) > 5000 {
            notes.append("its clock is \(self.duration(abs(skew))) \(skew > 0 ? "ahead" : "behind")")
        }
        if let problem = heartbeat.problem { notes.append(problem) }
        return notes.map(self.plain)
    }

    /// What an edge says is its own text: one line of it, without what a terminal would take for a command.
    private static func plain(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? " " : Character($0) })
    }

    static func duration(_ milliseconds: Int64) -> String {
        switch milliseconds {
        case ..<1000: "\(milliseconds) ms"
        case ..<120_000: "\(milliseconds / 1000) s"
        case ..<7_200_000: "\(milliseconds / 60_000) min"
        case ..<172_800_000: "\(milliseconds / 3_600_000) h"
        default: "\(milliseconds / 86_400_000) days"
        }
    }

    // MARK: Purges

    static func line(_ edge: OrderProgress.Edge, width: Int) -> String {
        let name = edge.name.padding(toLength: max(width, edge.name.count), withPad: " ", startingAt: 0)
        return "  \(name)  \(self.answer(edge))"
    }

    static func answer(_ edge: OrderProgress.Edge) -> String {
        switch edge.answer {
        case .done(let milliseconds): return "done after \(milliseconds) ms"
        case .refused(let reason): return "refused: \(reason.text)"
        case .silent: break
        }
        switch edge.standing {
        case .alive: return "has not acknowledged"
        case .late: return "has not acknowledged, and is late with its heartbeat"
        case .gone: return "is gone; if it runs, cut off, it serves what it has, and does this when it is back"
        case .missing: return "has never been heard on this bus"
        }
    }

    static func conclusion(_ outcome: FleetDesk.Outcome) -> String {
        let progress = outcome.progress
        if let problem = outcome.problem {
            return "The purge is written, but what edges do cannot be told: \(problem)\n"
        }
        let awaited = progress.edges.filter { $0.isAwaited || $0.answer != .silent }
        if progress.edges.isEmpty {
            return "No edge has been heard on this bus. The purge is written, and edges that come do it.\n"
        }
        var text = "\(progress.done.count) of \(awaited.count) edges have acknowledged"
        let others = progress.edges.count - awaited.count
        if others > 0 { text += ", \(others) not there" }
        text += "\n"
        if outcome.replicas > 0, outcome.confirmed == 0 {
            text +=
                "No replica of the bus has confirmed the purge: if the bus fails over now, edges that have not acknowledged may miss it.\n"
        }
        return text
    }
}

extension String {
    fileprivate func trimmingSuffix(_ character: Character) -> String {
        var text = Substring(self)
        while text.last == character { text.removeLast() }
        return String(text)
    }
}
