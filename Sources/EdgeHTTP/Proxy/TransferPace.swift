import EdgeModel
import NIOCore

/// Whether a peer that is waited for moves bytes: no long silence, and no trickle that goes on for hours. Pure; time is an
/// argument.
///
/// The clock runs only while the peer is waited for: ``waits(now:)`` starts it, ``rests(now:)`` stops it. Each time that
/// it has run for a window, so many bytes must have moved since the window's start; the first window is a time of grace. Bytes
/// count whenever they move.
struct TransferPace {
    struct Limits: Sendable {
        /// How long nothing may move.
        var silence: TimeAmount
        /// What the least rate is measured over.
        var window: TimeAmount
    }

    enum Verdict: Equatable {
        case goesOn
        /// Nothing has moved for too long.
        case silent
        /// Too little has moved in the window that ends now.
        case tooSlow
    }

    private let limits: Limits
    private var waitsSince: NIODeadline?
    private var silentSince = NIODeadline.uptimeNanoseconds(0)
    /// Of the window, before the clock was stopped last.
    private var waited = TimeAmount.zero
    private var bytes = 0

    init(_ limits: Limits) {
        self.limits = limits
    }

    /// The peer is waited for. Has no effect if it was already.
    mutating func waits(now: NIODeadline) {
        guard self.waitsSince == nil else { return }
        self.waitsSince = now
        self.silentSince = now
    }

    /// It is the turn of another.
    mutating func rests(now: NIODeadline) {
        guard let waitsSince else { return }
        self.waited = self.waited + (now - waitsSince)
        self.waitsSince = nil
    }

    /// So many bytes have moved; 0 for another sign of life.
    mutating func moved(_ count: Int, now: NIODeadline) {
        self.bytes += count
        self.silentSince = now
    }

    /// When ``look(now:rate:)`` is to be asked.
    ///
    /// - Parameter rate: bytes per second; 0: only silence counts.
    func deadline(rate: Int) -> NIODeadline {
        guard let waitsSince else { return .distantFuture }
        let silent = self.silentSince + self.limits.silence
        guard rate > 0 else { return silent }
        return min(silent, waitsSince + (self.limits.window - self.waited))
    }

    /// Judges, and begins the next window where one ends.
    mutating func look(now: NIODeadline, rate: Int) -> Verdict {
        guard let waitsSince else { return .goesOn }
        if self.silentSince + self.limits.silence <= now { return .silent }
        guard self.waited + (now - waitsSince) >= self.limits.window else { return .goesOn }
        let milliseconds = Int(self.limits.window.nanoseconds / 1_000_000)
        // Rates and windows are settings with bounds: no overflow.
        if self.bytes < rate * milliseconds / 1_000 { return .tooSlow }
        self.bytes = 0
        self.waited = .zero
        self.waitsSince = now
        return .goesOn
    }
}
