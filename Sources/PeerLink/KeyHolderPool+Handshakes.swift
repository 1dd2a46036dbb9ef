public import KeyProtocol
public import NIOCore
public import TLSWire

/// Handshakes that a key holder runs itself (`handoff` mode).
extension KeyHolderPool {
    /// Has a key holder begin a handshake: the one that answers fastest, or another if that one fails. Nothing may have
    /// been sent to the client yet, since the answer may be another key holder's than the one that was asked first.
    ///
    /// - Parameters:
    ///   - clientIP: 4 or 16 bytes, for the key holder's audit.
    ///   - excluded: addresses of the key holder that do not grant the site, counted from 0.
    /// - Returns: how far it came, and the link over which alone it goes on. Fails with a ``LinkFailure``, at the pool's
    ///   deadline at the latest.
    public func beginHandshake(
        _ begin: HandshakeBegin, name: ServerName, clientIP: [UInt8]?, excluding excluded: Set<Int> = []
    ) -> EventLoopFuture<(HandshakeProgress, HandshakeLink)> {
        let promise = self.eventLoop.makePromise(of: (HandshakeProgress, HandshakeLink).self)
        do {
            let message = self.call(.handshakeBegin, name: name, clientIP: clientIP, payload: try begin.encoded())
            let giveUp: LinkHandler.LateWaiter = { answer, handler in
                self.giveUp(answer, name: name, clientIP: clientIP, over: handler)
            }
            self.request(message, excluding: excluded, late: giveUp) { result in
                switch result {
                case .success(let answer):
                    do {
                        let progress = try HandshakeProgress(decoding: answer.message)
                        let link = HandshakeLink(
                            pool: self, connection: answer.connection, handshake: progress.handshake, name: name,
                            clientIP: clientIP)
                        promise.succeed((progress, link))
                    } catch {
                        promise.fail(LinkFailure.badAnswer("\(error)"))
                    }
                case .failure(let failure): promise.fail(failure)
                }
            }
        } catch {
            promise.fail(LinkFailure.unencodable("\(error)"))
        }
        return promise.futureResult
    }

    /// A handshake was begun, and no caller waits for it any more: the key holder is to forget it, and what it lent goes.
    private func giveUp(_ answer: KeyMessage, name: ServerName, clientIP: [UInt8]?, over handler: LinkHandler) {
        guard answer.opcode == .success, let progress = try? HandshakeProgress(decoding: answer.payload) else { return }
        progress.eraseSession()
        guard progress.leavesSomethingToDo, handler.isUp else { return }
        let forget = HandshakeForget(handshake: progress.handshake)
        let message = self.call(.handshakeForget, name: name, clientIP: clientIP, payload: forget.encoded())
        handler.send(message, deadline: .now() + self.configuration.deadline) { _, _ in }
    }
}

/// One handshake at a key holder, and the connection on which it lives: what goes on with it goes over that connection, or
/// fails. Nothing here is ever repeated, and each request has the pool's deadline.
///
/// Bound to the pool's event loop: every call happens there.
public struct HandshakeLink: Sendable {
    private struct State {
        let pool: KeyHolderPool
        let connection: KeyHolderPool.PinnedConnection
        let name: ServerName
        let clientIP: [UInt8]?
    }

    private let state: NIOLoopBound<State>
    /// What the key holder calls the handshake.
    public let handshake: UInt64

    init(
        pool: KeyHolderPool, connection: KeyHolderPool.PinnedConnection, handshake: UInt64, name: ServerName,
        clientIP: [UInt8]?
    ) {
        self.state = NIOLoopBound(
            State(pool: pool, connection: connection, name: name, clientIP: clientIP), eventLoop: pool.eventLoop)
        self.handshake = handshake
    }

    /// Whether the connection is still there.
    public var isUp: Bool { self.state.value.connection.handler.isUp }

    /// Hands on what the client answered.
    ///
    /// - Parameter clientBytes: whole TLS records; at least one.
    /// - Returns: how far the handshake came. Fails with a ``LinkFailure``; a handshake whose continuation failed is over.
    public func continueHandshake(_ clientBytes: ByteBuffer) -> EventLoopFuture<HandshakeProgress> {
        let payload: ByteBuffer
        do {
            payload = try HandshakeContinue(handshake: self.handshake, clientBytes: clientBytes).encoded()
        } catch {
            return self.state.value.pool.eventLoop.makeFailedFuture(LinkFailure.unencodable("\(error)"))
        }
        let handshake = self.handshake
        let erase: LinkHandler.LateWaiter = { answer, _ in
            (try? HandshakeProgress(decoding: answer.payload))?.eraseSession()
        }
        return self.send(.handshakeContinue, payload, late: erase).flatMapThrowing { answer in
            let progress: HandshakeProgress
            do { progress = try HandshakeProgress(decoding: answer) } catch {
                throw LinkFailure.badAnswer("\(error)")
            }
            guard progress.handshake == handshake else { throw LinkFailure.badAnswer("another handshake's progress") }
            return progress
        }
    }

    /// Tells the key holder that the client is gone. No caller waits for the answer, and if the connection is gone, so is the
    /// handshake.
    public func abandon() {
        guard self.isUp else { return }
        _ = self.send(.handshakeForget, HandshakeForget(handshake: self.handshake).encoded())
    }

    private func send(
        _ function: KeyFunction, _ payload: ByteBuffer, late: LinkHandler.LateWaiter? = nil
    ) -> EventLoopFuture<KeyMessage> {
        let state = self.state.value
        let message = state.pool.call(function, name: state.name, clientIP: state.clientIP, payload: payload)
        return state.pool.request(message, over: state.connection, late: late)
    }
}
