import Foundation
import KeyProtocol
import NIOCore
import NIOPosix
import RecordLayer
import TLSWire
import TestSockets

@testable import KeyHolder

/// What an edge does with one client at a time, without anything around it: for clients that want a socket.
final class EdgeStandIn: Sendable {
    private let listener: NIOAsyncChannel<NIOAsyncChannel<ByteBuffer, ByteBuffer>, Never>
    private let edge: TestEdge
    private let name: String
    /// Whether the client seems to send its ChangeCipherSpec twice.
    private let doublesChangeCipherSpec: Bool

    init(_ edge: TestEdge, name: String, doublesChangeCipherSpec: Bool) async throws {
        self.edge = edge
        self.name = name
        self.doublesChangeCipherSpec = doublesChangeCipherSpec
        self.listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
            }
    }

    private var port: Int { self.listener.channel.localAddress?.port ?? 0 }

    /// Serves clients until the listener is closed.
    private func serve() async throws {
        try await self.listener.executeThenClose { clients in
            for try await client in clients {
                try? await client.executeThenClose { inbound, outbound in
                    try await self.serve(inbound, outbound)
                }
            }
        }
    }

    private func serve(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws {
        var bytes = inbound.makeAsyncIterator()
        var hello = ClientHelloReader(maximumBytes: 65_536)
        reading: while let part = try await bytes.next() {
            switch hello.receive(part) {
            case .needMore: continue
            case .hello: break reading
            case .reject: return
            }
        }
        var progress = try await self.edge.begin(hello.takeReceivedBytes(), name: self.name)
        var pending = ByteBuffer()
        var hasChangedCipherSpec: Bool = false
        while case .needsMore = progress.state {
            try await outbound.write(progress.serverBytes)
            // Whole records of one segment, but in TLS 1.2 none behind the Finished.
            var turn = ByteBuffer()
            while turn.readableBytes == 0 {
                guard let part = try await bytes.next() else { return }
                pending.writeImmutableBuffer(part)
                var isOver: Bool = false
                while !isOver, let record = HandoffClient.nextRecord(&pending) {
                    turn.writeImmutableBuffer(record)
                    isOver = hasChangedCipherSpec
                    if record.getInteger(at: record.readerIndex, as: UInt8.self) == 20 {
                        hasChangedCipherSpec = true
                        if self.doublesChangeCipherSpec { turn.writeImmutableBuffer(record) }
                    }
                }
            }
            progress = try await self.edge.proceed(progress.handshake, turn)
            if case .needsMore = progress.state, progress.serverBytes.readableBytes > 0 { hasChangedCipherSpec = false }
        }
        try await outbound.write(progress.serverBytes)
        guard case .exported(let encoded, let tickets) = progress.state else { return }
        var session = RecordSession(try ExportedSession(decoding: encoded))
        var received = ByteBuffer()
        while true {
            while let record = HandoffClient.nextRecord(&pending) {
                let reception = session.receive(record)
                if reception.handshakeCompleted, tickets.readableBytes > 0 {
                    try await outbound.write(try session.sendPostHandshake(tickets))
                }
                if let reply = reception.reply { try await outbound.write(reply) }
                if let data = reception.applicationData { received.writeImmutableBuffer(data) }
                guard reception.end == nil else { return }
            }
            if received.readableBytesView.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                var answer: ByteBuffer = try session.send(ByteBuffer(string: "served through an edge\n"))
                if let close = session.close() { answer.writeImmutableBuffer(close) }
                try await outbound.write(answer)
                return
            }
            guard let part = try await bytes.next() else { return }
            pending.writeImmutableBuffer(part)
        }
    }

    /// What `openssl s_client` has to say after it sent a request with these arguments.
    static func client(
        _ arguments: String, through edge: TestEdge, name: String, doublesChangeCipherSpec: Bool = false
    ) async throws -> String {
        let standIn = try await EdgeStandIn(edge, name: name, doublesChangeCipherSpec: doublesChangeCipherSpec)
        return try await withThrowingTaskGroup(of: String.self) { group in
            group.addTask {
                try await standIn.serve()
                return ""
            }
            let output: String = try await Self.run(
                "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 60 openssl s_client -connect 127.0.0.1:\(standIn.port) "
                    + "-servername \(name) -ign_eof \(arguments)")
            group.cancelAll()
            try? await standIn.listener.channel.close().get()
            return output
        }
    }

    private static func run(_ command: String) async throws -> String {
        let path: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let process = try ChildProcess("sh", ["-c", "(\(command)) > '\(path)' 2>&1"])
        while process.isRunning { try await Task.sleep(for: .milliseconds(10)) }
        return try String(contentsOfFile: path, encoding: .utf8)
    }
}
