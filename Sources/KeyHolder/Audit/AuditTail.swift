import AuditChain
import Crypto
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The end of an audit file that was written before: where its chain stands, and what is left of a line that was broken off.
struct AuditTail: Equatable {
    /// What is behind the last line of the chain, and is none.
    struct Rest: Equatable {
        /// Bytes, without a line feed at their end.
        var count: Int
        var digest: [UInt8]
    }

    /// nil: no line of a chain is there.
    var position: ChainPosition?
    var rest: Rest?
    /// The file's last byte is no line feed.
    var lacksLineFeed = false

    /// How far from its end a file is looked at; bytes.
    static let window = 1 << 20

    /// Pure: the last bytes of a file in.
    ///
    /// - Parameter isWhole: They are all of it.
    /// - Returns: nil where no line of the chain is among so many bytes, and there may be some before.
    init?(_ bytes: [UInt8], isWhole: Bool) {
        guard let last = bytes.last else { return }
        self.lacksLineFeed = last != 0x0A
        // Behind the last line's end.
        var end = self.lacksLineFeed ? bytes.count : bytes.count - 1
        let length = end
        while true {
            let start = bytes[..<end].lastIndex(of: 0x0A).map { $0 + 1 }
            if let line = SealedLine(bytes[(start ?? 0)..<end]), start != nil || isWhole {
                self.position = line.position
                if end < length { self.rest = Self.rest(bytes[(end + 1)..<length]) }
                return
            }
            guard let start, start > 0 else { break }
            end = start - 1
        }
        // None at all: what is there is of the time before, and says itself that it is not chained.
        guard isWhole || bytes.contains(0x0A) else { return nil }
    }

    private static func rest(_ bytes: ArraySlice<UInt8>) -> Rest {
        Rest(count: bytes.count, digest: Array(SHA256.hash(data: Array(bytes))))
    }

    /// Looks at a file's end. Blocks.
    static func of(_ path: String) throws(AuditLogError) -> AuditTail {
        let descriptor = openForReading(path)
        guard descriptor >= 0 else { throw AuditLogError(place: path, reason: SystemError.words(errno)) }
        defer { closeDescriptor(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard size >= 0 else { throw AuditLogError(place: path, reason: SystemError.words(errno)) }
        let begin = max(0, size - Self.window)
        var bytes = [UInt8](repeating: 0, count: size - begin)
        var length = 0
        while length < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map {
                    readBytes(descriptor, $0 + length, buffer.count - length, begin + length)
                } ?? 0
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw AuditLogError(place: path, reason: SystemError.words(errno)) }
            if count == 0 { break }
            length += count
        }
        guard let tail = AuditTail(Array(bytes.prefix(length)), isWhole: begin == 0) else {
            throw AuditLogError(
                place: path, reason: "what it ends with are no lines", remedy: "move it away, or name another file")
        }
        return tail
    }
}

/// What remembers where a chain stands, beside the lines: written with each checkpoint.
///
///     latchstring audit head 1
///     SEQUENCE HASH
struct AuditHead {
    private static let title = "latchstring audit head 1"

    static func text(_ position: ChainPosition) -> String { "\(Self.title)\n\(position.sequence) \(position.hex)\n" }

    /// nil: it is none.
    static func position(_ text: String) -> ChainPosition? {
        let lines = text.split(separator: "\n")
        guard lines.count == 2, lines[0] == Self.title else { return nil }
        let words = lines[1].split(separator: " ")
        guard words.count == 2, let sequence = UInt64(words[0]) else { return nil }
        return ChainPosition(sequence: sequence, hex: String(words[1]))
    }
}

private func openForReading(_ path: String) -> CInt { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }

private func closeDescriptor(_ descriptor: CInt) { _ = close(descriptor) }

private func readBytes(_ descriptor: CInt, _ base: UnsafeMutableRawPointer, _ count: Int, _ offset: Int) -> Int {
    pread(descriptor, base, count, off_t(offset))
}
