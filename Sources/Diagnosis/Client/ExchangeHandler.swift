import NIOCore
import NIOHTTP1
import NIOSSL
import NIOTLS
import TLSWire

/// Makes one request once the handshake is complete, and reads its response. Whatever ends the connection before that
/// fails the outcome, with the best reason there is.
final class ExchangeHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private enum State {
        case handshake
        case awaitingHead
        case body(HTTPResponseHead, received: Int)
        case done
    }

    private let options: DiagnosingClient.Options
    private let journal: Journal
    private let outcome: EventLoopPromise<UInt>
    private var state = State.handshake
    private var timer: Scheduled<Void>?

    init(options: DiagnosingClient.Options, journal: Journal, outcome: EventLoopPromise<UInt>) {
        self.options = options
        self.journal = journal
        self.outcome = outcome
    }

    func channelActive(context: ChannelHandlerContext) {
        restartTimer(context)
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let chosen)? = event as? TLSUserEvent {
            journal.note(.handshakeCompleted(applicationProtocol: chosen))
            if let chosen, chosen != "http/1.1", chosen != "http/1.0" {
                fail(
                    context,
                    ClientFailure(
                        phase: .response, reason: "the server chose \(chosen), and this client speaks HTTP/1.1 only",
                        advice: "the handshake itself was good"))
            } else {
                request(context)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func request(_ context: ChannelHandlerContext) {
        let head = HTTPRequestHead(
            version: .http1_1, method: options.headOnly ? .HEAD : .GET, uri: options.target.requestTarget,
            headers: [
                "Host": options.target.authority, "User-Agent": "latchstring-client", "Accept": "*/*",
                "Connection": "close",
            ])
        state = .awaitingHead
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        journal.note(.requestSent)
        restartTimer(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        restartTimer(context)
        switch (unwrapInboundIn(data), state) {
        case (.head(let head), .awaitingHead):
            journal.note(.responseHead(head))
            // 1xx responses come before the one that counts.
            if (100..<200).contains(head.status.code), head.status != .switchingProtocols { return }
            state = .body(head, received: 0)
        case (.body(let bytes), .body(let head, let received)):
            state = .body(head, received: received + bytes.readableBytes)
            journal.note(.responseBody(bytes))
        case (.end, .body(let head, let received)):
            state = .done
            timer?.cancel()
            journal.note(.responseEnd(bodyBytes: received))
            outcome.succeed(head.status.code)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(context, explain(error))
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(context, explain(nil))
        context.fireChannelInactive()
    }

    private func explain(_ error: (any Error)?) -> ClientFailure {
        if let rejection: ClientFailure = journal.rejection { return rejection }
        let phase: ClientFailure.Phase
        if case .handshake = state { phase = .handshake } else { phase = .response }
        if let error, let code: UInt8 = AlertAdvice.code(in: error) { return .alert(code, phase: phase) }
        switch state {
        case .handshake:
            guard let error, !Self.isEndOfStream(error) else {
                return ClientFailure(
                    phase: phase, reason: "the server closed the connection in the middle of the handshake",
                    advice:
                        "an edge does so when the site's origin can't be reached in relay mode, or a time limit passed")
            }
            if journal.sawForeignBytes {
                return ClientFailure(
                    phase: phase, reason: "the server does not speak TLS on this port",
                    advice: "is it a plain HTTP port?")
            }
            return ClientFailure(phase: phase, reason: "the handshake failed: \(Self.text(error))")
        case .awaitingHead:
            return ClientFailure(
                phase: phase, reason: "no response: " + (error.map(Self.text) ?? "the server closed the connection"))
        case .body(_, let received):
            return ClientFailure(
                phase: phase,
                reason: "the response broke off after \(received) bytes of its body: "
                    + (error.map(Self.text) ?? "the server closed the connection"))
        case .done:
            return ClientFailure(phase: phase, reason: error.map(Self.text) ?? "the connection is closed")
        }
    }

    private static func text(_ error: any Error) -> String {
        switch error {
        case HTTPParserError.invalidEOFState: return "the server closed the connection"
        case let error as HTTPParserError: return "it is not HTTP: \(error)"
        case NIOSSLError.uncleanShutdown:
            return "the connection ended without the TLS close_notify that proves it complete"
        case NIOSSLError.handshakeFailed(.sslError(let stack)): return stack.map(text).joined(separator: ", ")
        case BoringSSLError.sslError(let stack): return stack.map(text).joined(separator: ", ")
        default: return "\(error)"
        }
    }

    /// BoringSSL's own name for an error, without the place in its source.
    private static func text(_ error: BoringSSLInternalError) -> String {
        let words: [Substring] = error.description.split(separator: ":")
        guard let index: Int = words.firstIndex(of: "OPENSSL_internal"), index + 1 < words.count else {
            return error.description
        }
        return String(words[index + 1].prefix { $0 != " " })
    }

    private static func isEndOfStream(_ error: any Error) -> Bool {
        switch error as? NIOSSLError {
        case .uncleanShutdown?: return true
        case .handshakeFailed(.sslError(let stack))?: return stack.contains(.eofDuringHandshake)
        default: return false
        }
    }

    private func restartTimer(_ context: ChannelHandlerContext) {
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: options.timeout) { [self] in
            let seconds: Int64 = options.timeout.nanoseconds / 1_000_000_000
            let phase: ClientFailure.Phase
            if case .handshake = state { phase = .handshake } else { phase = .response }
            fail(
                context,
                ClientFailure(
                    phase: phase, reason: "nothing happened for \(seconds) seconds", advice: "see --timeout"))
        }
    }

    private func fail(_ context: ChannelHandlerContext, _ failure: ClientFailure) {
        if case .done = state { return }
        state = .done
        timer?.cancel()
        outcome.fail(failure)
        context.close(promise: nil)
    }
}
