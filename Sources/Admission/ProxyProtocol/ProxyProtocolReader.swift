public import NIOCore

/// Why bytes are no PROXY header.
public enum ProxyProtocolError: Error, Hashable, Sendable, CustomStringConvertible {
    /// They begin like none.
    case notAHeader
    /// Version 1: longer than 107 bytes, or not as the grammar has it.
    case badText
    /// Version 2: a version, command, family or protocol that is not defined, or not for TCP.
    case badValue
    /// Version 2: too short for its addresses, or longer than a header may be here.
    case badLength
    /// A version of the protocol that is not taken here.
    case otherVersion

    public var description: String {
        switch self {
        case .notAHeader: "the connection does not begin with a PROXY header"
        case .badText: "a PROXY header of version 1 that breaks its grammar"
        case .badValue: "a PROXY header of version 2 with a value that is not defined for TCP"
        case .badLength: "a PROXY header of version 2 whose length does not fit"
        case .otherVersion: "a PROXY header of a version that is not taken here"
        }
    }
}

/// Reads the PROXY protocol header (haproxy.org, "The PROXY protocol", sections 2.1 and 2.2) at the beginning of a
/// connection. Pure.
///
/// Exact: what two readers could take for different things is refused. Version 1 is at most 107 bytes, version 2 at most
/// ``maximumBytes``. TLVs are skipped. The command LOCAL, and addresses that are unknown or of the Unix family, leave the
/// connection with its own addresses.
public enum ProxyProtocolReader {
    /// The longest header of version 2: 16 bytes, addresses, TLVs.
    public static let maximumBytes = 16 + 4096
    static let maximumTextBytes = 107

    /// What a connection begins with.
    public enum Outcome: Hashable, Sendable {
        /// A connection that is passed on; without addresses where the sender does not know them.
        case proxied(ProxyProtocolHeader)
        /// A connection of the balancer's own, such as a health check.
        case local
    }

    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    private static let textStart = Array("PROXY ".utf8)

    /// Takes the header off the buffer, and nothing behind it.
    ///
    /// - Parameter versions: those that are taken.
    /// - Returns: nil if the header is not all there yet; the buffer is as it was.
    public static func read(
        _ buffer: inout ByteBuffer, versions: Set<ProxyProtocolVersion> = [.v1, .v2]
    ) throws(ProxyProtocolError) -> Outcome? {
        let view = buffer.readableBytesView
        guard !view.isEmpty else { return nil }
        if view.prefix(self.signature.count).elementsEqual(self.signature.prefix(view.count)) {
            guard versions.contains(.v2) else { throw .otherVersion }
            return try self.readBinary(&buffer)
        }
        if view.prefix(self.textStart.count).elementsEqual(self.textStart.prefix(view.count)) {
            guard versions.contains(.v1) else { throw .otherVersion }
            return try self.readText(&buffer)
        }
        throw .notAHeader
    }

    // MARK: Version 2

    private static func readBinary(_ buffer: inout ByteBuffer) throws(ProxyProtocolError) -> Outcome? {
        let start = buffer.readerIndex
        guard let command: UInt8 = buffer.getInteger(at: start + 12) else { return nil }
        guard command == 0x20 || command == 0x21 else { throw .badValue }
        guard let family: UInt8 = buffer.getInteger(at: start + 13) else { return nil }
        let addressLength = try self.addressLength(family: family, isLocal: command == 0x20)
        guard let length: UInt16 = buffer.getInteger(at: start + 14) else { return nil }
        guard Int(length) >= addressLength, 16 + Int(length) <= self.maximumBytes else { throw .badLength }
        guard var header = buffer.readSlice(length: 16 + Int(length)) else { return nil }
        if command == 0x20 { return .local }
        header.moveReaderIndex(forwardBy: 16)
        switch family {
        case 0x11: return .proxied(Self.addresses(&header, bytes: 4))
        case 0x21: return .proxied(Self.addresses(&header, bytes: 16))
        default: return .proxied(ProxyProtocolHeader(source: nil, destination: nil))
        }
    }

    /// A receiver of LOCAL does not look at the family.
    private static func addressLength(family: UInt8, isLocal: Bool) throws(ProxyProtocolError) -> Int {
        switch family {
        case _ where isLocal: 0
        case 0x00: 0
        case 0x11: 12
        case 0x21: 36
        case 0x31: 216
        default: throw .badValue
        }
    }

    private static func addresses(_ header: inout ByteBuffer, bytes count: Int) -> ProxyProtocolHeader {
        guard let source = header.readBytes(length: count).flatMap({ IPAddress(bytes: $0) }),
            let destination = header.readBytes(length: count).flatMap({ IPAddress(bytes: $0) }),
            let sourcePort: UInt16 = header.readInteger(), let destinationPort: UInt16 = header.readInteger()
        else { return ProxyProtocolHeader(source: nil, destination: nil) }
        return ProxyProtocolHeader(source: (source, sourcePort), destination: (destination, destinationPort))
    }

    // MARK: Version 1

    private static func readText(_ buffer: inout ByteBuffer) throws(ProxyProtocolError) -> Outcome? {
        let line = buffer.readableBytesView.prefix(self.maximumTextBytes)
        guard let end = line.firstIndex(of: 0x0A) else {
            // A carriage return stands nowhere but before the line feed.
            if let odd = line.firstIndex(of: 0x0D), odd != line.index(before: line.endIndex) { throw .badText }
            if line.count == self.maximumTextBytes { throw .badText }
            return nil
        }
        let whole = line[..<end]
        guard whole.last == 0x0D, whole.allSatisfy({ $0 == 0x0D || (0x20...0x7E).contains($0) }),
            whole.firstIndex(of: 0x0D) == whole.index(before: whole.endIndex)
        else { throw .badText }
        let text = String(decoding: whole.dropLast(), as: UTF8.self)
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count >= 2 else { throw .badText }
        let header: ProxyProtocolHeader
        switch words[1] {
        // What follows UNKNOWN is to be ignored.
        case "UNKNOWN": header = ProxyProtocolHeader(source: nil, destination: nil)
        case "TCP4", "TCP6":
            let isIPv4 = words[1] == "TCP4"
            guard words.count == 6, let source = Self.address(words[2], isIPv4: isIPv4),
                let destination = Self.address(words[3], isIPv4: isIPv4),
                let sourcePort = Self.port(words[4]), let destinationPort = Self.port(words[5])
            else { throw .badText }
            header = ProxyProtocolHeader(source: (source, sourcePort), destination: (destination, destinationPort))
        default: throw .badText
        }
        buffer.moveReaderIndex(forwardBy: whole.count + 1)
        return .proxied(header)
    }

    private static func address(_ text: Substring, isIPv4: Bool) -> IPAddress? {
        guard text.utf8.allSatisfy({ Self.isAddressCharacter($0) }), let address = IPAddress(String(text)) else {
            return nil
        }
        return (address.bitCount == 32) == isIPv4 ? address : nil
    }

    private static func isAddressCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: ":"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// Decimal, without leading zeros.
    private static func port(_ text: Substring) -> UInt16? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            text == "0" || text.first != "0"
        else { return nil }
        return UInt16(text)
    }
}
