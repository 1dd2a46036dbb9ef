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
    /// How the file leads to this position from what is remembered (``AuditPath``).
    var way = Way.leads

    enum Way: Equatable {
        /// Without a break, or nothing is remembered.
        case leads
        /// It does not.
        case broken
        /// The file's first line has this number, and there must have been others before.
        case beginsWith(UInt64)
    }

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
    ///
    /// - Parameter head: What is remembered of the chain.
    static func of(_ path: String, from head: ChainPosition?) throws(AuditLogError) -> AuditTail {
        let descriptor = openForReading(path)
        guard descriptor >= 0 else { throw AuditLogError(place: path, reason: SystemError.words(errno)) }
        defer { closeDescriptor(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard size >= 0 else { throw AuditLogError(place: path, reason: SystemError.words(errno)) }
        let begin = max(0, size - Self.window)
        let bytes = try Self.read(descriptor, begin, size - begin, path)
        guard var tail = AuditTail(bytes, isWhole: begin == 0) else {
            throw AuditLogError(
                place: path, reason: "what it ends with are no lines", remedy: "move it away, or name another file")
        }
        if let head, let position = tail.position, position != head {
            tail.way = try Self.way(descriptor, size, from: head, path)
        }
        return tail
    }

    /// Goes back to a line that is not behind the head, and reads on from there.
    private static func way(
        _ descriptor: CInt, _ size: Int, from head: ChainPosition, _ path: String
    ) throws(AuditLogError) -> Way {
        var begin = size
        var back = Self.window
        while begin > 0 {
            begin = max(0, size - back)
            back *= 2
            let bytes = try Self.read(descriptor, begin, min(2 * ChainSealer.longestLine, size - begin), path)
            // What stands before the first line feed is a part of a line.
            let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).dropFirst().dropLast()
            if let first = lines.lazy.compactMap({ SealedLine($0) }).first, first.position.sequence <= head.sequence {
                break
            }
        }
        var way = AuditPath(from: head)
        var rest: [UInt8] = []
        while begin < size, !way.isBroken {
            let bytes = try Self.read(descriptor, begin, min(Self.window, size - begin), path)
            if bytes.isEmpty { break }
            begin += bytes.count
            var start = 0
            while let end = bytes[start...].firstIndex(of: 0x0A) {
                way.take(rest.isEmpty ? bytes[start..<end] : (rest + bytes[start..<end])[...])
                rest = []
                start = end + 1
            }
            // A longer one is no line, whatever comes.
            rest = Array((rest + bytes[start...]).prefix(ChainSealer.longestLine))
        }
        way.take(rest[...])
        return way.leads ? .leads : way.firstBehind.map { .beginsWith($0) } ?? .broken
    }

    /// Whose checkpoint is the last one of a file. Blocks.
    ///
    /// - Returns: nil: there is no such file, or what is there keeps no lines, as a pipe; or there is no checkpoint among its last bytes, of
    ///   which there is one by all that a key holder writes.
    static func lastSigner(of path: String) throws(AuditLogError) -> CheckpointSigner? {
        // Before it is opened: a pipe would have a reader for a moment.
        guard try Self.keepsLines(path) else { return nil }
        let descriptor = openForReading(path)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw AuditLogError(place: path, reason: SystemError.words(errno))
        }
        defer { closeDescriptor(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard size >= 0 else { throw AuditLogError(place: path, reason: SystemError.words(errno)) }
        for window in [Self.window, 16 * Self.window] {
            let begin = max(0, size - window)
            let bytes = try Self.read(descriptor, begin, size - begin, path)
            for line in bytes.split(separator: 0x0A).reversed() {
                guard let line = SealedLine(line), line.text("operation") == ChainOperation.checkpoint else { continue }
                return line.text("key").flatMap { CheckpointSigner(hex: $0) }
            }
            if begin == 0 { break }
        }
        return nil
    }

    /// Whether it is there, and a regular file.
    private static func keepsLines(_ path: String) throws(AuditLogError) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT { return false }
            throw AuditLogError(place: path, reason: SystemError.words(errno))
        }
        return status.st_mode & S_IFMT == S_IFREG
    }

    private static func read(
        _ descriptor: CInt, _ begin: Int, _ most: Int, _ path: String
    ) throws(AuditLogError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: most)
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
        bytes.removeLast(bytes.count - length)
        return bytes
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
