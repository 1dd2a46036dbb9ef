public import KeyHolder
import Synchronization

/// Tells of logins to tokens, of tokens that do not do what they are asked, and of those that do again.
///
/// Tokens are logged in to before there is a key holder that could take it down: what comes before ``listen(_:)`` waits, up to a bound.
public final class TokenEvents: Sendable {
    public struct Event: Equatable, Sendable {
        /// ``KeyHolder/AuditEvent/hsmLogin``, ``KeyHolder/AuditEvent/hsmLost`` or ``KeyHolder/AuditEvent/hsmBack``.
        public var event: AuditEvent
        public var isGood: Bool
        /// Which token, and why.
        public var detail: String
    }

    private struct State {
        var listener: (@Sendable (Event) -> Void)?
        var waiting: [Event] = []
    }

    private static let mostWaiting = 256
    private let state = Mutex(State())

    func tell(_ event: AuditEvent, isGood: Bool, _ detail: String) {
        let event = Event(event: event, isGood: isGood, detail: detail)
        let listener = self.state.withLock { state in
            if state.listener == nil, state.waiting.count < Self.mostWaiting { state.waiting.append(event) }
            return state.listener
        }
        listener?(event)
    }

    /// From now on, and with what was told before. Once.
    public func listen(_ listener: @escaping @Sendable (Event) -> Void) {
        let waiting = self.state.withLock { state in
            state.listener = listener
            defer { state.waiting = [] }
            return state.waiting
        }
        for event in waiting { listener(event) }
    }
}
