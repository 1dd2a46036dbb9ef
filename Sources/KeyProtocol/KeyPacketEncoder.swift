public import NIOCore

/// Why a message cannot be put on the wire. Always our own bug or an oversized payload, never the peer's doing.
public enum KeyEncodingError: Error, Equatable, Sendable {
    /// The body would be longer than 65,535 bytes.
    case bodyTooLarge(Int)
    /// An item has a length that its tag does not allow, or text that is not visible ASCII.
    case badItem(tag: UInt8, length: Int)
}

extension KeyPacket {
    /// Appends the packet's bytes to `buffer`.
    ///
    /// - Parameters:
    ///   - buffer: Left as it was if this throws.
    ///   - padded: Whether to fill the packet up to 1,024 bytes, as stock peers do. Packets of 1,022 bytes and more
    ///     have no room for a padding item and stay as they are.
    public func encode(into buffer: inout ByteBuffer, padded: Bool = true) throws(KeyEncodingError) {
        let start: Int = buffer.writerIndex
        do throws(KeyEncodingError) {
            buffer.writeMultipleIntegers(
                KeyPacketLayout.majorVersion, KeyPacketLayout.minorVersion, UInt16(0), self.id)
            try self.body.encodeItems(into: &buffer)
            if padded {
                let missing: Int = KeyPacketLayout.paddedSize - (buffer.writerIndex - start)
                if missing >= KeyPacketLayout.itemHeaderSize {
                    let length: Int = missing - KeyPacketLayout.itemHeaderSize
                    buffer.writeMultipleIntegers(KeyItemTag.padding.rawValue, UInt16(length))
                    buffer.writeRepeatingByte(0, count: length)
                }
            }
            let bodySize: Int = buffer.writerIndex - start - KeyPacketLayout.headerSize
            guard let length = UInt16(exactly: bodySize) else { throw KeyEncodingError.bodyTooLarge(bodySize) }
            buffer.setInteger(length, at: start + 2)
        } catch {
            buffer.moveWriterIndex(to: start)
            throw error
        }
    }
}

extension KeyMessage {
    /// Items in the order of their tags, but the opcode first: readers can tell at once what a packet is.
    fileprivate func encodeItems(into buffer: inout ByteBuffer) throws(KeyEncodingError) {
        try buffer.writeItem(.opcode, CollectionOfOne(self.opcode.rawValue))
        if let digest = self.certificateDigest { try buffer.writeItem(.certificateDigest, digest) }
        if let name = self.serverName { try buffer.writeText(.serverName, name) }
        if let address = self.clientIP { try buffer.writeItem(.clientIP, address) }
        if let ski = self.ski { try buffer.writeItem(.subjectKeyIdentifier, ski) }
        if let address = self.serverIP { try buffer.writeItem(.serverIP, address) }
        if let id = self.certificateID { try buffer.writeText(.certificateID, id) }
        if let function = self.function { try buffer.writeText(.function, function) }
        if self.payload.readableBytes > 0 { try buffer.writeItem(.payload, self.payload.readableBytesView) }
        if let extra = self.extra { try buffer.writeItem(.extra, extra.readableBytesView) }
        if let deadline = self.deadline {
            buffer.writeMultipleIntegers(KeyItemTag.deadline.rawValue, UInt16(4), deadline)
        }
        if self.isHedge { try buffer.writeItem(.hedge, EmptyCollection<UInt8>()) }
    }
}

extension ByteBuffer {
    fileprivate mutating func writeItem(
        _ tag: KeyItemTag, _ value: some RandomAccessCollection<UInt8>
    ) throws(KeyEncodingError) {
        guard tag.accepts(length: value.count), let length = UInt16(exactly: value.count) else {
            throw KeyEncodingError.badItem(tag: tag.rawValue, length: value.count)
        }
        self.writeMultipleIntegers(tag.rawValue, length)
        self.writeBytes(value)
    }

    fileprivate mutating func writeText(_ tag: KeyItemTag, _ text: String) throws(KeyEncodingError) {
        let length: Int = text.utf8.count
        guard tag.accepts(length: length), text.utf8.allSatisfy(isVisibleASCII) else {
            throw KeyEncodingError.badItem(tag: tag.rawValue, length: length)
        }
        self.writeMultipleIntegers(tag.rawValue, UInt16(length))
        self.writeString(text)
    }
}
