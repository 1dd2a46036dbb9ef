import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads a file line by line, in memory that does not grow with it.
enum LineReader {
    struct Failure: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }

    private static let block = 1 << 18
    /// Longer lines are cut.
    private static let longest = 2 << 20

    /// - Parameters:
    ///   - path: "-": standard input.
    ///   - goesOn: Asked before each line.
    ///   - body: A line without its line feed, and whether it had one.
    static func read(
        _ path: String, while goesOn: () -> Bool = { true }, _ body: (ArraySlice<UInt8>, Bool) throws -> Void
    ) throws {
        try self.read(path, from: 0, while: goesOn, body)
    }

    /// The lines at a file's end, some hundred kilobytes; the first may be a part of one.
    static func readEnd(_ path: String, _ body: (ArraySlice<UInt8>, Bool) throws -> Void) throws {
        try self.read(path, from: Self.block, while: { true }, body)
    }

    /// - Parameter distance: bytes before the end, where it begins if the file is longer; 0: at the beginning.
    private static func read(
        _ path: String, from distance: Int, while goesOn: () -> Bool,
        _ body: (ArraySlice<UInt8>, Bool) throws -> Void
    ) throws {
        let descriptor = path == "-" ? STDIN_FILENO : openForReading(path)
        guard descriptor >= 0 else { throw Failure("cannot read \"\(path)\": \(SystemError.words(errno))") }
        defer { if descriptor != STDIN_FILENO { closeDescriptor(descriptor) } }
        // Fails where the file is shorter, and stays at its beginning.
        if distance > 0 { _ = lseek(descriptor, off_t(-distance), SEEK_END) }
        var buffer = [UInt8](repeating: 0, count: Self.block)
        var rest: [UInt8] = []
        while goesOn() {
            let count = buffer.withUnsafeMutableBytes { readBytes(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure("cannot read \"\(path)\": \(SystemError.words(errno))") }
            if count == 0 { break }
            var start = 0
            while goesOn(), let end = buffer[start..<count].firstIndex(of: 0x0A) {
                if rest.isEmpty {
                    try body(buffer[start..<end], true)
                } else {
                    rest += buffer[start..<end]
                    try body(rest[...], true)
                    rest.removeAll(keepingCapacity: true)
                }
                start = end + 1
            }
            if rest.count < Self.longest { rest += buffer[start..<count] }
        }
        if !rest.isEmpty, goesOn() { try body(rest[...], false) }
    }
}

private func openForReading(_ path: String) -> CInt { open(path, O_RDONLY | O_CLOEXEC) }

private func closeDescriptor(_ descriptor: CInt) { _ = close(descriptor) }

private func readBytes(_ descriptor: CInt, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
