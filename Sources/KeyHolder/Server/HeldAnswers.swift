import KeyProtocol
import NIOCore

/// Answers that wait for their audit lines.
struct HeldAnswers {
    private(set) var bytes = ByteBuffer()
    /// What they answer.
    private(set) var ids: [UInt32] = []

    var isEmpty: Bool { self.ids.isEmpty }

    mutating func append(_ packet: KeyPacket) throws(KeyEncodingError) {
        try packet.encode(into: &self.bytes)
        self.ids.append(packet.id)
    }
}
