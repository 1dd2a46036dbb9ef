import Logging
import NIOConcurrencyHelpers

/// The lines of a follower, bounded in rate: a bus can cause as many as it likes.
final class FollowLog: Sendable {
    /// Lines that are written within a minute; those that are left out are counted in the next.
    static let perMinute = 20

    private struct State {
        var minute: Int64 = .min
        var written = 0
        var omitted = 0
    }

    private let logger: Logger
    private let state = NIOLockedValueBox(State())

    init(_ logger: Logger) {
        self.logger = logger
    }

    /// - Parameter now: milliseconds on a monotonic clock.
    func write(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata, at now: Int64) {
        let omitted: Int? = self.state.withLockedValue { state in
            if now / 60_000 != state.minute {
                state.minute = now / 60_000
                state.written = 0
            }
            guard state.written < Self.perMinute else {
                state.omitted += 1
                return nil
            }
            state.written += 1
            defer { state.omitted = 0 }
            return state.omitted
        }
        guard let omitted else { return }
        var metadata = metadata
        if omitted > 0 { metadata["omitted"] = "\(omitted)" }
        self.logger.log(level: level, message, metadata: metadata)
    }
}
