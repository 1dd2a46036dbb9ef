import Diagnosis
import NIOCore
import TLSWire
import Testing

@Suite("Client: what can be seen on the wire")
struct HandshakeObserverTests {
    static func record(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [type, 3, 3, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)] + payload
    }

    static func message(_ type: UInt8, _ body: [UInt8]) -> [UInt8] {
        [type, 0, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }

    /// A TLS 1.2 server's flight: hello, certificate, key exchange, done; its CCS; something encrypted.
    static let flight: [UInt8] = {
        let hello: [UInt8] = message(2, [3, 3] + [UInt8](repeating: 1, count: 32) + [0, 0xC0, 0x2B, 0])
        let exchange: [UInt8] = message(12, [3, 0, 29, 32] + [UInt8](repeating: 9, count: 40))
        let handshake: [UInt8] = hello + message(11, [0, 0, 0]) + exchange + message(14, [])
        return record(22, Array(handshake.prefix(50))) + record(22, Array(handshake.dropFirst(50)))
            + record(20, [1]) + record(22, [UInt8](repeating: 5, count: 40)) + record(21, [2, 40])
    }()

    static func observe(_ bytes: [UInt8], segment: Int) -> [WireEvent] {
        var observer = HandshakeObserver()
        return stride(from: 0, to: bytes.count, by: segment).flatMap {
            observer.received(ByteBuffer(bytes: bytes[$0..<min($0 + segment, bytes.count)]))
        }
    }

    @Test("TLS 1.2 in segments of every size")
    func segments() {
        let whole: [WireEvent] = Self.observe(Self.flight, segment: Self.flight.count)
        #expect(whole.count == 5)
        #expect(
            whole.dropFirst() == [
                .handshakeMessage(.server, type: 11), .serverKeyExchange(group: 29),
                .handshakeMessage(.server, type: 14),
                .encrypted(.server),
            ])
        for segment in 1..<Self.flight.count {
            #expect(Self.observe(Self.flight, segment: segment) == whole)
        }
    }

    @Test("nonsense ends the observation without a word")
    func nonsense() {
        #expect(Self.observe([22, 3, 3, 0xFF, 0xFF] + Self.flight, segment: 7).isEmpty)
        #expect(Self.observe(Self.record(22, [2, 0xFF, 0xFF, 0xFF]), segment: 3).isEmpty)
        #expect(Self.observe(Self.record(21, [2, 40]), segment: 1) == [.alert(.server, code: 40)])
        #expect(Self.observe(Self.record(21, [2]), segment: 1).isEmpty)
        #expect(Self.observe(Array("HTTP/1.1".utf8), segment: 1) == [.notTLS])
    }
}
