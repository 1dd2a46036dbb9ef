#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A small file that is either as it was or as it is to be, whenever the machine stops.
enum DurableFile {
    struct Failure: Error, Equatable, CustomStringConvertible {
        var action: String
        var path: String
        /// The value of `errno`.
        var number: Int32

        var description: String { "cannot \(self.action) \(self.path): \(String(cString: strerror(self.number)))" }
    }

    static let maximumBytes = 1 << 20

    /// nil: there is none.
    static func read(_ path: String) throws(Failure) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw Failure(action: "read", path: path, number: errno)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = readBytes(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure(action: "read", path: path, number: errno) }
            guard count > 0 else { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            guard bytes.count <= Self.maximumBytes else { throw Failure(action: "read", path: path, number: EFBIG) }
        }
    }

    /// Writes beside it, flushes, renames, and flushes the folder. For this user alone.
    ///
    /// - Parameter flushes: false for what does no harm if a loss of power undoes or empties it.
    static func write(_ bytes: [UInt8], to path: String, flushes: Bool = true) throws(Failure) {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(action: "create", path: temporary, number: errno) }
        var failure: Int32 = 0
        var rest = bytes[...]
        while !rest.isEmpty, failure == 0 {
            let count = rest.withUnsafeBytes { writeBytes(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 { rest = rest.dropFirst(count) } else if errno != EINTR { failure = errno }
        }
        if failure == 0, flushes, fsync(descriptor) != 0 { failure = errno }
        if close(descriptor) != 0, failure == 0 { failure = errno }
        guard failure == 0 else {
            _ = unlink(temporary)
            throw Failure(action: "write", path: temporary, number: failure)
        }
        guard rename(temporary, path) == 0 else { throw Failure(action: "rename", path: path, number: errno) }
        guard flushes else { return }
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw Failure(action: "open", path: folder, number: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw Failure(action: "flush", path: folder, number: errno) }
    }

    /// A file held against other processes until it is closed.
    struct Lock {
        fileprivate let descriptor: CInt

        func release() { close(self.descriptor) }
    }

    /// Waits for the lock, blocking; nil if another has it for so long.
    static func lock(_ path: String, seconds: Int) throws(Failure) -> Lock? {
        let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(action: "open", path: path, number: errno) }
        for attempt in 0...(seconds * 100) {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return Lock(descriptor: descriptor) }
            guard errno == EWOULDBLOCK || errno == EINTR else {
                let number = errno
                close(descriptor)
                throw Failure(action: "lock", path: path, number: number)
            }
            if attempt < seconds * 100 { usleep(10_000) }
        }
        close(descriptor)
        return nil
    }
}

// Inside `DurableFile`, its own `read` and `write` hide the system's.
private func readBytes(_ descriptor: CInt, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}

private func writeBytes(_ descriptor: CInt, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, buffer, count)
}
