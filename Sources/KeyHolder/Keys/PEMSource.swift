#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where the PEM text of a certificate chain comes from.
public enum PEMSource: Hashable, Sendable {
    /// A file's path; relative ones start at the working directory.
    case file(String)
    /// The text itself, and how messages call it.
    case text(String, name: String)

    /// For messages.
    public var name: String {
        switch self {
        case .file(let path): path
        case .text(_, let name): name
        }
    }

    /// Chains are a few KiB.
    static let maximumFileSize: Int = 1 << 20

    func text() throws(SiteLoadError) -> String {
        switch self {
        case .text(let text, _): return text
        case .file(let path): return try Self.read(path)
        }
    }

    private static func read(_ path: String) throws(SiteLoadError) -> String {
        let descriptor: CInt = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path, String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64 * 1024)
        var length: Int = 0
        while true {
            if length == bytes.count {
                guard length < Self.maximumFileSize else { throw .unreadable(path, "larger than 1 MiB") }
                bytes.append(contentsOf: [UInt8](repeating: 0, count: bytes.count))
            }
            let offset: Int = length
            let got: Int = bytes.withUnsafeMutableBytes { buffer in
                Self.readOnce(descriptor, buffer, from: offset)
            }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw .unreadable(path, String(cString: strerror(errno))) }
            if got == 0 { break }
            length += got
        }
        return String(decoding: bytes[..<length], as: UTF8.self)
    }

    private static func readOnce(_ descriptor: CInt, _ buffer: UnsafeMutableRawBufferPointer, from offset: Int) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        return Int(readBytes(descriptor, base + offset, buffer.count - offset))
    }
}

/// `read(2)` by a name that a method called `read` does not hide.
private func readBytes(_ descriptor: CInt, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
