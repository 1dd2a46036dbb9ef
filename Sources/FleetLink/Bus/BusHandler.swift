import FleetBus
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

/// The last handler of a connection to a bus: bytes to replies, and what happens to the connection.
final class BusHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Event {
        /// TCP, and TLS where there is any, is up.
        case connected
        case reply(RESPValue)
        case broke(String)
        case closed
    }

    private var decoder: RESPDecoder
    private let usesTLS: Bool
    private let told: (Event) -> Void
    /// After a failure nothing more is told of this connection.
    private var isOver = false

    init(usesTLS: Bool, limits: RESPLimits, told: @escaping (Event) -> Void) {
        self.usesTLS = usesTLS
        self.decoder = RESPDecoder(limits: limits)
        self.told = told
    }

    private func tell(_ event: Event) {
        guard !self.isOver else { return }
        switch event {
        case .broke, .closed: self.isOver = true
        case .connected, .reply: break
        }
        self.told(event)
    }

    func channelActive(context: ChannelHandlerContext) {
        if !self.usesTLS { self.tell(.connected) }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { self.tell(.connected) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.decoder.receive(self.unwrapInboundIn(data))
        do throws(RESPError) {
            while !self.isOver, let value = try self.decoder.next() { self.tell(.reply(value)) }
        } catch {
            self.tell(.broke("\(error)"))
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.tell(.broke(BusText.reason(error)))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.tell(.closed)
        context.fireChannelInactive()
    }
}

enum BusText {
    /// A failure to connect in a few words.
    static func reason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return self.reason(first.error) }
            return error.dnsAError != nil || error.dnsAAAAError != nil ? "the name is not known" : "\(error)"
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case let error as ChannelError:
            if case .connectTimeout = error { return "no answer in time" }
            return "\(error)"
        case let error as NIOSSLExtraError: return error.description
        case let error as NIOSSLError:
            if case .handshakeFailed(let inner) = error { return "TLS: \(inner)" }
            return "TLS: \(error)"
        default: return "\(error)"
        }
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif
