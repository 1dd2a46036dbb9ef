import TestSockets
import Testing

/// What clients and origins send through a relay.
enum RelayTraffic {
    static let hello = TestHello().records()

    /// Bytes that repeat late enough to notice if any get lost, doubled or reordered.
    static func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    /// A client that sent its hello, and the origin that received it.
    static func connect(
        _ edge: RelayHarness, _ origin: TestListener, receiveBuffer: Int32? = nil
    ) throws -> (client: TestSocket, origin: TestSocket) {
        let client = try TestSocket.connect(port: edge.port, receiveBuffer: receiveBuffer)
        try client.send(self.hello)
        let server = try origin.accept()
        #expect(try server.receive(exactly: self.hello.count) == self.hello)
        return (client, server)
    }

    /// The bytes of the repeated block that the system took before it would not for a while.
    static func sendUntilStuck(_ socket: TestSocket, _ block: [UInt8]) throws -> Int {
        var sent = 0
        var idle = 0
        while idle < 300 {
            let start = sent % block.count
            if let count = try socket.sendNow(block[start...]) {
                sent += count
                idle = 0
            } else {
                waitBriefly()
                idle += 1
            }
            if sent > 64 * 1024 * 1024 { break }
        }
        return sent
    }
}
