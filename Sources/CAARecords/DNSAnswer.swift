/// Reads the CAA records out of a DNS message (RFC 1035 §4). Hostile input: it comes over the network unprotected.
///
/// Every step moves on in the message, names are at most 255 bytes, and a compression pointer must lead to before the name that
/// it stands in, so a message of n bytes takes at most some 128 × n steps.
enum DNSAnswer {
    /// Why a message is not used.
    enum Malformed: Error, Equatable {
        case truncated
        /// Not a response, or an error code, or a truncated one: the resolver hands such on only by mistake.
        case header
        case name
        case record
        /// Aliases that lead in a circle, or on and on.
        case aliases
    }

    private static let cname = 5
    private static let caa = 257
    private static let internet = 1
    private static let longestAliasChain = 16
    /// Of one name. More than any owner publishes.
    private static let mostRecords = 256

    /// The CAA records of `name`, or of what it is an alias of; empty if there are none.
    ///
    /// - Parameter name: lower case, without a dot at its end.
    static func records(in message: [UInt8], of name: String) throws(Malformed) -> [CAARecord] {
        var reader = Reader(bytes: message)
        _ = try reader.number(2)
        let flags = try reader.number(2)
        // A response (QR), not truncated (TC), to a standard query, without an error code.
        guard flags & 0x8000 != 0, flags & 0x7A00 == 0, flags & 0x000F == 0 else { throw .header }
        let questions = try reader.number(2)
        let answers = try reader.number(2)
        try reader.skip(4)
        guard questions <= 1 else { throw .header }
        for _ in 0..<questions {
            _ = try reader.name()
            try reader.skip(4)
        }
        var aliases: [[UInt8]: [UInt8]] = [:]
        var records: [[UInt8]: [CAARecord]] = [:]
        for _ in 0..<answers {
            let owner = try reader.name()
            let type = try reader.number(2)
            let family = try reader.number(2)
            try reader.skip(4)
            let length = try reader.number(2)
            let end = reader.position + length
            guard end <= message.count else { throw .truncated }
            if family == Self.internet, type == Self.cname {
                aliases[owner] = try reader.name()
                guard reader.position == end else { throw .record }
            } else if family == Self.internet, type == Self.caa {
                guard let record = CAARecord(data: message[reader.position..<end]) else { throw .record }
                records[owner, default: []].append(record)
                guard records[owner, default: []].count <= Self.mostRecords else { throw .record }
            }
            reader.position = end
        }
        var owner = try Self.wire(name)
        var steps = 0
        while records[owner] == nil, let target = aliases[owner] {
            steps += 1
            guard steps <= Self.longestAliasChain else { throw .aliases }
            owner = target
        }
        return records[owner] ?? []
    }

    /// Labels with their lengths before them, as `Reader.name` gives them.
    private static func wire(_ name: String) throws(Malformed) -> [UInt8] {
        var wire: [UInt8] = []
        for label in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard (1...63).contains(label.count) else { throw .name }
            wire.append(UInt8(label.count))
            wire.append(contentsOf: label)
        }
        return wire
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func number(_ width: Int) throws(Malformed) -> Int {
            guard self.position + width <= self.bytes.count else { throw .truncated }
            var value = 0
            for _ in 0..<width {
                value = value << 8 | Int(self.bytes[self.position])
                self.position += 1
            }
            return value
        }

        mutating func skip(_ count: Int) throws(Malformed) {
            guard self.position + count <= self.bytes.count else { throw .truncated }
            self.position += count
        }

        /// A name in lower case, its compression undone (RFC 1035 §4.1.4), without the root's empty label.
        mutating func name() throws(Malformed) -> [UInt8] {
            var name: [UInt8] = []
            var cursor = self.position
            /// Pointers must lead to before this.
            var limit = self.position
            /// Where reading goes on: after the first pointer, if there is one.
            var after: Int?
            while true {
                guard cursor < self.bytes.count else { throw .truncated }
                let length = Int(self.bytes[cursor])
                switch length {
                case 0:
                    self.position = after ?? cursor + 1
                    return name
                case 1...63:
                    guard cursor + length < self.bytes.count else { throw .truncated }
                    guard name.count + length + 1 <= 254 else { throw .name }
                    name.append(UInt8(length))
                    for byte in self.bytes[(cursor + 1)...(cursor + length)] {
                        name.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
                    }
                    cursor += length + 1
                case 0xC0...0xFF:
                    guard cursor + 1 < self.bytes.count else { throw .truncated }
                    let target = (length & 0x3F) << 8 | Int(self.bytes[cursor + 1])
                    guard target < limit else { throw .name }
                    after = after ?? cursor + 2
                    limit = target
                    cursor = target
                default: throw .name
                }
            }
        }
    }
}
