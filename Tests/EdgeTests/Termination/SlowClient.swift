import NIOCore
import NIOEmbedded
import NIOSSL
import TestSockets
import TestWire

/// A TLS client whose bytes the test carries over a socket of its own, one flight at a time.
final class SlowClient {
    let socket: TestSocket
    private let channel = EmbeddedChannel()

    init(_ bench: HandoffBench, _ version: NIOSSL.TLSVersion = .tlsv13) throws {
        self.socket = try TestSocket.connect(port: bench.port)
        let context = try bench.clientContext {
            $0.minimumTLSVersion = version
            $0.maximumTLSVersion = version
        }
        try self.channel.pipeline.syncOperations.addHandler(
            try NIOSSLClientHandler(context: context, serverHostname: "p256.test"))
        self.channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    /// What it has to send now.
    func outbound() throws -> [UInt8] {
        self.channel.embeddedEventLoop.run()
        var bytes: [UInt8] = []
        while let part: ByteBuffer = try self.channel.readOutbound() { bytes += Array(part.readableBytesView) }
        return bytes
    }

    func sendOutbound() throws { try self.socket.send(try self.outbound()) }

    /// Receives until it has something to answer.
    func receiveFlight() throws {
        while true {
            let bytes = try self.socket.receive()
            guard !bytes.isEmpty else { throw WireEnded(read: "") }
            try self.channel.writeInbound(ByteBuffer(bytes: bytes))
            let answer = try self.outbound()
            if !answer.isEmpty {
                self.answer = answer
                return
            }
        }
    }

    private(set) var answer: [UInt8] = []

    /// Receives what there is, at least something.
    func receiveSome() throws {
        try self.channel.writeInbound(ByteBuffer(bytes: try self.socket.receive()))
    }

    /// What went wrong for its TLS library while it read to the end; nil if nothing did.
    func failure() throws -> String? {
        while true {
            let bytes = try self.socket.receive()
            guard !bytes.isEmpty else { return nil }
            do { try self.channel.writeInbound(ByteBuffer(bytes: bytes)) } catch { return "\(error)" }
        }
    }

    func request() throws -> [UInt8] {
        self.channel.writeAndFlush(ByteBuffer(string: HandoffBench.lastRequest), promise: nil)
        return try self.outbound()
    }

    func readResponse() throws -> String {
        var text = ""
        while !text.hasSuffix("xxxxx") {
            let bytes = try self.socket.receive()
            guard !bytes.isEmpty else { break }
            _ = try? self.channel.writeInbound(ByteBuffer(bytes: bytes))
            while let part: ByteBuffer = try self.channel.readInbound() { text += String(buffer: part) }
        }
        return text
    }

    func close() {
        self.channel.close(promise: nil)
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(60))
    }
}
