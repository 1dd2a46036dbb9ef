/// Puts handshake messages together from fragments, and bounds them before they are whole.
///
/// After the handshake only two short messages may come, and one that is skipped: nothing longer than a Finished is
/// ever kept.
struct HandshakeReader: Sendable {
    /// What to do with a message, decided from its header alone.
    enum Plan {
        case collect
        case skip
    }

    private var collected: [UInt8] = []
    private var toSkip = 0

    /// In the middle of a message: no other kind of record may come now.
    var isPartial: Bool { toSkip > 0 || !collected.isEmpty }

    /// Takes bytes off the front until a message is whole.
    ///
    /// - Parameter plan: called once for each message, with its type and the length of its body; throws if there must
    ///   not be such a message.
    /// - Returns: type and body; nil if more bytes are needed, or if nothing but skipped messages ended here.
    mutating func next(
        _ bytes: inout ArraySlice<UInt8>, plan: (UInt8, Int) throws(RecordError) -> Plan
    ) throws(RecordError) -> (type: UInt8, body: [UInt8])? {
        while !bytes.isEmpty || collected.count >= 4 {
            if toSkip > 0 {
                let count: Int = min(toSkip, bytes.count)
                bytes.removeFirst(count)
                toSkip -= count
                continue
            }
            if collected.isEmpty, bytes.count >= 4 {
                // The usual case: a message that is whole.
                let type: UInt8 = bytes[bytes.startIndex]
                let length: Int = Self.length(bytes)
                if try plan(type, length) == .skip {
                    toSkip = length
                    bytes.removeFirst(4)
                    continue
                }
                let end: Int = bytes.startIndex + 4 + length
                guard bytes.endIndex >= end else {
                    collected = Array(bytes)
                    bytes.removeAll()
                    return nil
                }
                defer { bytes = bytes[end...] }
                return (type, Array(bytes[(bytes.startIndex + 4)..<end]))
            }
            if collected.count < 4 {
                collected.append(bytes.removeFirst())
                guard collected.count == 4 else { continue }
                if try plan(collected[0], bodyLength) == .skip {
                    toSkip = bodyLength
                    collected.removeAll()
                    continue
                }
            }
            let missing: Int = 4 + bodyLength - collected.count
            let count: Int = min(missing, bytes.count)
            collected.append(contentsOf: bytes.prefix(count))
            bytes.removeFirst(count)
            guard count == missing else { return nil }
            defer { collected.removeAll(keepingCapacity: true) }
            return (collected[0], Array(collected[4...]))
        }
        return nil
    }

    private var bodyLength: Int { Self.length(collected[...]) }

    /// What a header of 4 bytes says.
    private static func length(_ header: ArraySlice<UInt8>) -> Int {
        let start: Int = header.startIndex
        return Int(header[start + 1]) << 16 | Int(header[start + 2]) << 8 | Int(header[start + 3])
    }
}
