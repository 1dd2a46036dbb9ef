package import Admission
package import Channels
package import EdgeModel
package import Logging
package import Metrics
package import NIOCore
import NativeHandshake
import TLSWire
package import Telemetry

/// The first handler of every client connection: reads the ClientHello, finds the site, and hands the connection over.
///
/// What it refuses gets the right alert, or for plain HTTP a short response, and a close that lets the answer arrive; each
/// refusal is one metric (`latchstring_edge_hello_rejected_total{reason}`) and one log line.
///
/// Where balancers connect, their PROXY header comes before the hello, and may come in any split, or together with it.
///
/// - Peer's violation: everything that ``HelloRefusal`` names.
/// - Silently dropped: bytes after a refusal, up to ``HelloLimits/linger``.
/// - Our bug: none; events out of place are passed on.
package final class HelloHandler: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer

    private enum Phase {
        /// The listener is not for this client: it is refused as soon as there is a connection to close.
        case unwanted
        /// A balancer's PROXY header comes first; what there is of it.
        case readingProxyHeader(ByteBuffer)
        /// Bytes go to the reader.
        case reading
        /// It began like a native hello: bytes go to that reader.
        case readingNative(NativeHelloReader)
        case routedNative(RoutedNativeClient)
        /// The site is known. Decided in the middle of a burst of reads, which is to end before the hand-over.
        case routed(RoutedClient)
        /// Refused, or handed over: everything is passed on.
        case done
    }

    private let connection: UInt64?
    /// Who the client is; nil until the handler is added, unless the maker knew.
    private var client: ClientAddress?
    private let identified: (ClientAddress) -> HelloRefusal?
    private let table: SiteTable
    private let limits: HelloLimits
    private let reports: ReportLog
    private let metrics: any MetricsFactory
    private let handOver: (RoutedClient) -> Void
    private let handOverNative: (RoutedNativeClient) -> Void

    private var phase: Phase
    private var reader: ClientHelloReader
    private var hasBytes = false
    private let deadlines: LoopDeadlines?
    private var deadline: LoopDeadlines.Deadline?

    /// Makes the handler for one connection.
    ///
    /// - Parameters:
    ///   - connection: The connection's number, for log lines.
    ///   - client: Who is connected; by default what the channel says.
    ///   - handOver: Takes the connection over; called on the channel's event loop, at most once. See
    ///     ``RoutedClient`` for what it must do.
    ///   - handOverNative: The same for a native hello; by default there are none to take over.
    package convenience init(
        connection: UInt64? = nil, client: ClientAddress? = nil, table: SiteTable, limits: HelloLimits, logger: Logger,
        metrics: any MetricsFactory = MetricsSystem.factory,
        handOver: @escaping (RoutedClient) -> Void,
        handOverNative: @escaping (RoutedNativeClient) -> Void = { $0.channel.close(promise: nil) }
    ) {
        self.init(
            connection: connection, client: client, start: .hello, table: table, limits: limits,
            reports: ReportLog(logger, clock: nil), metrics: metrics, identified: { _ in nil }, handOver: handOver,
            handOverNative: handOverNative)
    }

    /// The same for a listener with a policy.
    ///
    /// - Parameters:
    ///   - start: How the connection begins; what is refused gets no answer.
    ///   - deadlines: the event loop's; nil: some of its own.
    ///   - identified: Told who the client is once a PROXY header has been read; may refuse it.
    package init(
        connection: UInt64?, client: ClientAddress?, start: ListenerPolicy.Start, table: SiteTable,
        limits: HelloLimits, reports: ReportLog, metrics: any MetricsFactory = MetricsSystem.factory,
        deadlines: LoopDeadlines? = nil, identified: @escaping (ClientAddress) -> HelloRefusal?,
        handOver: @escaping (RoutedClient) -> Void, handOverNative: @escaping (RoutedNativeClient) -> Void
    ) {
        self.connection = connection
        self.client = client
        self.identified = identified
        self.phase =
            switch start {
            case .hello: .reading
            case .proxyProtocolHeader: .readingProxyHeader(ByteBuffer())
            case .refused, .plain: .unwanted
            }
        self.table = table
        self.limits = limits
        self.deadlines = deadlines
        self.reports = reports
        self.metrics = metrics
        self.handOver = handOver
        self.handOverNative = handOverNative
        self.reader = ClientHelloReader(maximumBytes: limits.maximumBytes)
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        // Reading in steps that this handler asks for is what makes the hand-over lossless. The options fail only on
        // a channel that is closed already.
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        if self.client == nil {
            self.client = ClientAddress(source: context.remoteAddress, destination: context.localAddress)
        }
        if context.channel.isActive { self.start(context: context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.deadline?.cancel()
        self.deadline = nil
    }

    package func channelActive(context: ChannelHandlerContext) {
        self.start(context: context)
        context.fireChannelActive()
    }

    private func start(context: ChannelHandlerContext) {
        if case .unwanted = self.phase { return self.refuse(.notFromProxy, serverName: nil, context: context) }
        guard self.deadline == nil, !self.isDone else { return }
        let deadlines = self.deadlines ?? LoopDeadlines(eventLoop: context.eventLoop)
        self.deadline = deadlines.set(in: self.limits.timeout) {
            // A native client is told; a TLS client that says nothing gets nothing.
            if case .readingNative = self.phase {
                self.refuse(.unreadableNative(.timeout("the hello")), serverName: nil, context: context)
            } else {
                self.refuse(.timeout, serverName: nil, context: context)
            }
        }
        context.read()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isDone else { return context.fireChannelRead(data) }
        let bytes = self.unwrapInboundIn(data)
        if case .readingProxyHeader(let held) = self.phase {
            return self.readProxyHeader(held, bytes, context: context)
        }
        self.take(bytes, context: context)
    }

    private func take(_ bytes: ByteBuffer, context: ChannelHandlerContext) {
        if !self.hasBytes, NativeHelloReader.recognises(bytes) { self.phase = .readingNative(NativeHelloReader()) }
        self.hasBytes = true
        if case .readingNative(let reader) = self.phase { return self.readNative(bytes, reader, context: context) }
        if case .routedNative(var handOver) = self.phase {
            var bytes = bytes
            handOver.receivedBytes.writeBuffer(&bytes)
            self.phase = .routedNative(handOver)
            return
        }
        let action = self.reader.receive(bytes)
        guard case .reading = self.phase else { return }
        switch action {
        case .needMore:
            break
        case .reject(let rejection):
            self.refuse(.unreadable(rejection), serverName: nil, context: context)
        case .hello(let hello):
            switch self.table.route(hello) {
            case .site(let site):
                self.phase = .routed(
                    RoutedClient(
                        connection: self.connection, client: self.client ?? ClientAddress(), channel: context.channel,
                        site: site, hello: hello))
            case .reject(let alert, let reason):
                self.refuse(.unroutable(reason, alert), serverName: hello.serverName, context: context)
            }
        }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        switch self.phase {
        case .unwanted: break
        case .readingProxyHeader, .reading, .readingNative: context.read()
        case .routedNative(let handOver): self.finish(handOver, context: context)
        case .routed(let client): self.finish(client, context: context)
        case .done: context.fireChannelReadComplete()
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if self.isReading, let event = event as? ChannelEvent, event == .inputClosed {
            self.refuse(self.hasBytes || self.isInProxyHeader ? .truncated : .silent, serverName: nil, context: context)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        if !self.isDone {
            self.refuse(self.hasBytes || self.isInProxyHeader ? .truncated : .silent, serverName: nil, context: context)
        }
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A broken connection is about to be inactive, and is reported then.
        if self.isDone { context.fireErrorCaught(error) }
    }

    private var isDone: Bool {
        if case .done = self.phase { true } else { false }
    }

    private var isReading: Bool {
        switch self.phase {
        case .readingProxyHeader, .reading, .readingNative: true
        case .unwanted, .routed, .routedNative, .done: false
        }
    }

    private func refuse(_ refusal: HelloRefusal, serverName: ServerName?, context: ChannelHandlerContext) {
        self.phase = .done
        self.deadline?.cancel()
        refusal.report(
            connection: self.connection, client: self.client?.source, serverName: serverName, reports: self.reports,
            metrics: self.metrics)
        _ = self.reader.takeReceivedBytes()
        if let answer = refusal.answer, context.channel.isActive {
            LingeringCloseHandler.begin(on: context.channel, sending: answer, limits: self.limits.linger)
        } else {
            context.close(promise: nil)
        }
    }

    // MARK: PROXY header

    private func readProxyHeader(_ held: ByteBuffer, _ bytes: ByteBuffer, context: ChannelHandlerContext) {
        var held = held
        held.writeImmutableBuffer(bytes)
        do throws(ProxyProtocolError) {
            guard let outcome = try ProxyProtocolReader.read(&held) else {
                self.phase = .readingProxyHeader(held)
                return
            }
            if case .proxied(let header) = outcome, let client = self.client {
                self.client = client.replaced(by: header)
            }
            self.phase = .reading
            if let client = self.client, let refusal = self.identified(client) {
                return self.refuse(refusal, serverName: nil, context: context)
            }
        } catch {
            return self.refuse(.badProxyHeader(error), serverName: nil, context: context)
        }
        // A balancer's own connection may end here.
        if held.readableBytes > 0 { self.take(held, context: context) }
    }

    private var isInProxyHeader: Bool {
        if case .readingProxyHeader(let held) = self.phase { held.readableBytes > 0 } else { false }
    }

    // MARK: Native

    private func readNative(_ bytes: ByteBuffer, _ reader: NativeHelloReader, context: ChannelHandlerContext) {
        var reader = reader
        do throws(NativeError) {
            guard let hello = try reader.receive(bytes) else {
                self.phase = .readingNative(reader)
                return
            }
            guard let site = self.table.site(for: hello.serverName) else {
                return self.refuse(
                    .unreadableNative(.unknownName), serverName: hello.serverName, context: context)
            }
            guard site.native != nil else {
                return self.refuse(.nativeNotServed, serverName: hello.serverName, context: context)
            }
            self.phase = .routedNative(
                RoutedNativeClient(
                    connection: self.connection, client: self.client ?? ClientAddress(), channel: context.channel,
                    site: site, hello: hello,
                    receivedBytes: reader.receivedBytes))
        } catch {
            self.refuse(.unreadableNative(error), serverName: nil, context: context)
        }
    }

    private func finish(_ handOver: RoutedNativeClient, context: ChannelHandlerContext) {
        self.phase = .done
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        self.handOverNative(handOver)
    }

    private func finish(_ client: RoutedClient, context: ChannelHandlerContext) {
        self.phase = .done
        client.receivedBytes = self.reader.takeReceivedBytes()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        self.handOver(client)
    }
}
