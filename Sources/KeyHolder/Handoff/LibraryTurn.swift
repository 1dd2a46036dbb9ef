import NIOCore
import Synchronization
import TLSEngine

/// A turn of a handshake in which the TLS library uses the site's key by itself, and which a thread takes for that.
final class LibraryTurn: Sendable {
    private struct State: ~Copyable {
        var handshake: ServerHandshake?
        var bytes: ByteBuffer
        var result: HandshakeTurn?
    }

    private let state: Mutex<State>

    init(_ handshake: consuming ServerHandshake, _ bytes: ByteBuffer) {
        self.state = Mutex(State(handshake: consume handshake, bytes: bytes, result: nil))
    }

    /// On the thread; once.
    func perform() {
        self.state.withLock { state in
            guard let handshake = state.handshake.take() else { return }
            state.result = handshake.receive(&state.bytes)
        }
    }

    /// What it came to, once; nil: it was not taken.
    ///
    /// - Parameter rest: Gets the bytes that were not taken.
    func takeResult(leaving rest: inout ByteBuffer) -> HandshakeTurn? {
        rest = self.state.withLock { $0.bytes }
        return self.state.withLock { $0.result.take() }
    }
}
