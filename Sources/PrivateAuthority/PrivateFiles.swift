#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A file operation that the system refused.
public struct FileError: Error, Equatable, CustomStringConvertible {
    /// What was being done, as in "create".
    public var action: String
    public var path: String
    /// The value of `errno`.
    public var number: Int32

    public var description: String {
        if number == EEXIST {
            return "cannot \(action) \(path): it came into being meanwhile. Run the command again"
        }
        return "cannot \(action) \(path): \(String(cString: strerror(number)))"
    }
}

/// Writes files of which some are secret: complete or not at all, never through a symbolic link, and never over a file
/// that came into being meanwhile unless replacing was asked for.
enum PrivateFiles {
    struct File {
        var path: String
        var text: String
        /// Readable by its owner alone (0600). Other files follow the umask (0644 at most).
        var isPrivate: Bool
    }

    /// The largest file `read` takes, in bytes.
    static let largestRead = 1 << 20

    /// Whether something bears that name, be it a dangling link.
    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    static func read(_ path: String) throws(FileError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(action: "read", path: path, number: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk: [UInt8] = Array(repeating: 0, count: 16384)
        while true {
            let count = readBytes(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw FileError(action: "read", path: path, number: errno) }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(contentsOf: chunk[..<count])
            guard bytes.count <= largestRead else { throw FileError(action: "read", path: path, number: EFBIG) }
        }
    }

    /// Makes the directory and those above it that are missing, all for their owner alone (0700).
    static func makeDirectory(_ path: String) throws(FileError) {
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw FileError(action: "make directory", path: path, number: ENOTDIR)
            }
            return
        }
        let trimmed = path.last == "/" ? String(path.dropLast()) : path
        if let slash = trimmed.lastIndex(of: "/"), slash != trimmed.startIndex {
            try makeDirectory(String(trimmed[..<slash]))
        }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw FileError(action: "make directory", path: path, number: errno)
        }
    }

    /// Writes all files under temporary names first, and then gives them their names, in order.
    ///
    /// Without `replacing`, a file that exists ends it, and the files that were given names before it are taken away again.
    static func write(_ files: [File], replacing: Bool) throws(FileError) {
        var temporary: [String] = []
        defer { temporary.forEach { _ = unlink($0) } }
        for file in files {
            temporary.append(try writeTemporary(file))
        }
        var named: [String] = []
        for (index, file) in files.enumerated() {
            // link(2) fails where the name is taken, rename(2) replaces.
            let status = replacing ? rename(temporary[index], file.path) : link(temporary[index], file.path)
            guard status == 0 else {
                let number = errno
                if !replacing { named.forEach { _ = unlink($0) } }
                throw FileError(action: "create", path: file.path, number: number)
            }
            named.append(file.path)
        }
    }

    private static func writeTemporary(_ file: File) throws(FileError) -> String {
        let path = "\(file.path).\(getpid()).\(UInt64.random(in: .min ... .max))"
        let mode: mode_t = file.isPrivate ? 0o600 : 0o644
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw FileError(action: "create", path: file.path, number: errno) }
        var failure: Int32 = 0
        var rest = Array(file.text.utf8)[...]
        while !rest.isEmpty && failure == 0 {
            let count = rest.withUnsafeBytes { writeBytes(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                failure = errno
            }
        }
        if failure == 0 && fsync(descriptor) != 0 { failure = errno }
        if close(descriptor) != 0 && failure == 0 { failure = errno }
        guard failure == 0 else {
            _ = unlink(path)
            throw FileError(action: "write", path: file.path, number: failure)
        }
        return path
    }
}

// Inside `PrivateFiles`, its own `read` and `write` hide the system's.
private func readBytes(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}

private func writeBytes(_ descriptor: Int32, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, buffer, count)
}
