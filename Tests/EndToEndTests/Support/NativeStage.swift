import Foundation
import NIOCore
import NIOPosix
import NativeClient
import NativeHandshake
import PrivateAuthority
import TLSWire
import TestSockets

/// A key holder with native sites, an edge in front of it, and an application behind, as real processes but for the last.
final class NativeStage: Sendable {
    let workspace: Workspace
    let keyHolder: TestProcess
    let edge: RunningEdge
    let application: TestApplication?

    /// - Parameters:
    ///   - sites: domains and their keys.
    ///   - application: what stands behind all of them.
    ///   - site: what else stands at each of the key holder's sites, as YAML in braces; ADDRESS is the application's.
    ///   - operations: what the edge is granted.
    convenience init(
        _ sites: [(domain: String, key: SiteKeyType)], application: TestApplication,
        site: String = "application: ADDRESS", operations: String = "native", edgeSite: String = "native: home"
    ) throws {
        try self.init(
            sites, application: application, port: application.port, site: site, operations: operations,
            edgeSite: edgeSite)
    }

    /// The same with an application that the test plays itself, at this port.
    convenience init(_ sites: [(domain: String, key: SiteKeyType)], applicationPort: UInt16) throws {
        try self.init(
            sites, application: nil, port: applicationPort, site: "application: ADDRESS", operations: "native",
            edgeSite: "native: home")
    }

    private init(
        _ sites: [(domain: String, key: SiteKeyType)], application: TestApplication?, port applicationPort: UInt16,
        site: String, operations: String, edgeSite: String
    ) throws {
        let workspace = try Workspace()
        self.workspace = workspace
        self.application = application
        for (domain, key) in sites { try workspace.makeSite(domain, keyType: key) }
        try workspace.makeIdentity(.keyholder, "home")
        let native = try Workspace.freePort()
        try Self.configure(
            workspace, sites.map(\.domain), native: native, site: site, application: applicationPort, operations)
        self.keyHolder = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
        let port = try self.keyHolder.listeningPort()
        let entries = sites.map { site in
            """
              - domains: [\(site.domain)]
                mode: relay
                \(edgeSite)
                origin: { address: "127.0.0.1:9" }
            """
        }
        self.edge = try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(port)"], native: ["127.0.0.1:\(native)"] }
            # All clients here are of one network.
            limits: { handshakes-per-client: 100000 }
            sites:
            \(entries.joined(separator: "\n"))
            """, in: workspace)
    }

    static func configure(
        _ workspace: Workspace, _ domains: [String], native: UInt16, site: String, application: UInt16,
        _ operations: String
    ) throws {
        let more = site.replacing("ADDRESS", with: "\"127.0.0.1:\(application)\"")
        let entries = domains.map { "  - { certificate: \($0).pem, key: \($0).key, \(more) }" }
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:0
            native: 127.0.0.1:\(native)
            identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
            sites:
            \(entries.joined(separator: "\n"))
            grants:
              - { edge: paris, sites: [\(domains.joined(separator: ", "))], operations: [\(operations)] }
            audit: audit.jsonl
            log: { level: debug, format: json }

            """, to: "home.yaml")
    }

    func options(_ domain: String, _ variant: NativeVariant) throws -> NativeOptions {
        var options = NativeOptions(
            serverName: try ServerName(domain), host: "127.0.0.1", port: Int(self.edge.port), variant: variant)
        options.roots = try ClientRoots(pem: self.workspace.sites.certificatePEM)
        options.timeout = .seconds(20)
        return options
    }

    /// The audit lines so far.
    var audit: [LogLine] {
        ((try? self.workspace.read("audit.jsonl")) ?? "").split(separator: "\n").compactMap { LogLine($0) }
    }

    func waitForAudit(_ what: String, where condition: (LogLine) -> Bool) throws {
        _ = try eventually("audit line: \(what)") { self.audit.contains(where: condition) ? true : nil }
    }

    func stop() async throws {
        self.edge.stop()
        self.keyHolder.stop()
        try await self.application?.stop()
    }
}

/// What stands behind native sites, in the tests' process.
final class TestApplication: Sendable {
    enum Kind: Sendable {
        /// Sends back what it gets.
        case echo
        /// Answers one HTTP/1.1 request with this text, and closes.
        case page(String)
    }

    let port: UInt16
    private let listener: any Channel

    init(_ kind: Kind) async throws {
        self.listener = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(kind))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.port = UInt16(self.listener.localAddress?.port ?? 0)
    }

    func stop() async throws {
        try? await self.listener.close().get()
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let kind: Kind
        private var request = ""
        private var waits = false

        init(_ kind: Kind) {
            self.kind = kind
        }

        func channelActive(context: ChannelHandlerContext) {
            context.read()
            context.fireChannelActive()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch self.kind {
            case .echo: context.write(data, promise: nil)
            case .page(let text):
                self.request += String(buffer: self.unwrapInboundIn(data))
                guard self.request.hasSuffix("\r\n\r\n") else { return }
                let answer =
                    "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\nConnection: close\r\n\r\n\(text)"
                context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
                context.close(mode: .output, promise: nil)
            }
        }

        func channelReadComplete(context: ChannelHandlerContext) {
            context.flush()
            if context.channel.isWritable { context.read() } else { self.waits = true }
        }

        func channelWritabilityChanged(context: ChannelHandlerContext) {
            guard self.waits, context.channel.isWritable else { return }
            self.waits = false
            context.read()
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard let event = event as? ChannelEvent, event == .inputClosed else { return }
            // A socket whose input has ended closes for good at the end of its output, and drops what waits.
            let channel: any Channel = context.channel
            let written: EventLoopPromise<Void> = context.eventLoop.makePromise()
            written.futureResult.whenComplete { _ in channel.close(mode: .output, promise: nil) }
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
