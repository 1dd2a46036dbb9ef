import ArgumentParser
import FleetBus
import FleetLink
import Foundation
import NIOConcurrencyHelpers
import Settings
import Telemetry

/// `latchstring purge --fleet`: the same order for every edge.
struct FleetPurging {
    var file: String
    var purge: FleetPurge
    /// Milliseconds.
    var timeout: Int64
    var printsJSON: Bool

    func run() async throws {
        let settings = try FleetDesks.settings(self.file)
        guard let path = settings.fleet.signingKey else {
            Startup.complain(
                "error: \(self.file) has no signing-key under fleet. Make one with `latchstring fleet key`, and list it at every edge."
            )
            throw ExitCode.failure
        }
        let key = try Startup.orExit { try SigningKey(path: path) }
        let display = PurgeDisplay(isLive: !self.printsJSON && StandardOutput.isTerminal)
        let outcome = try await FleetDesks.use(settings) { desk in
            try await desk.order(self.purge, by: key, timeout: self.timeout) { display.show($0) }
        }
        if self.printsJSON {
            StandardOutput.write(try ReportJSON.line(FleetPurgeReport(outcome)))
        } else {
            display.finish(outcome)
        }
        guard outcome.isSuccess else { throw ExitCode.failure }
    }
}

/// Shows how far each edge is: lines that change on a terminal, or each edge's line once it has answered.
private final class PurgeDisplay: Sendable {
    private struct State {
        var lines = 0
        var shown: Set<String> = []
    }

    private let isLive: Bool
    private let state = NIOLockedValueBox(State())
    /// Lines that change at once; a larger fleet is summed up while it is waited for.
    private static let liveLines = 40

    init(isLive: Bool) {
        self.isLive = isLive
    }

    func show(_ progress: OrderProgress) {
        guard self.isLive else { return }
        let lines: [String]
        if progress.edges.count > Self.liveLines {
            lines = ["  \(progress.done.count) of \(progress.edges.count) edges have acknowledged"]
        } else {
            let width = progress.edges.map(\.name.count).max() ?? 0
            lines = progress.edges.map { edge in
                edge.answer == .silent && edge.standing == .alive
                    ? "  \(edge.name.padding(toLength: width, withPad: " ", startingAt: 0))  …"
                    : FleetText.line(edge, width: width)
            }
        }
        self.state.withLockedValue { state in
            let up = state.lines > 0 ? "\u{1B}[\(state.lines)A" : ""
            StandardOutput.write(up + lines.map { "\u{1B}[K\($0)\n" }.joined())
            state.lines = lines.count
        }
    }

    func finish(_ outcome: FleetDesk.Outcome) {
        let width = outcome.progress.edges.map(\.name.count).max() ?? 0
        let lines = outcome.progress.edges.map { FleetText.line($0, width: width) + "\n" }
        let up = self.state.withLockedValue { $0.lines > 0 ? "\u{1B}[\($0.lines)A\u{1B}[J" : "" }
        StandardOutput.write(up + lines.joined() + FleetText.conclusion(outcome))
    }
}
