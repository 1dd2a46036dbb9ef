import CFileSpace

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where audit lines are written. Only used on the writer's thread.
protocol AuditOutput {
    /// Writes what there is room for.
    ///
    /// - Returns: Bytes written, at least 1; or the error number.
    mutating func write(_ bytes: ArraySlice<UInt8>) -> Result<Int, AuditOutputError>

    /// Sees to it that at least `low` bytes can be written whatever else fills the disk, and `high` if any have to be set
    /// aside.
    ///
    /// - Throws: where there is not so much room. Where nothing can be set aside (a pipe, a file system that has no way to do
    ///   so), it does not.
    mutating func reserve(low: Int, high: Int) throws(AuditOutputError)

    mutating func close()
}

/// An error number of the system's.
struct AuditOutputError: Error, Equatable, CustomStringConvertible {
    var number: CInt

    var description: String { String(cString: strerror(self.number)) }
}

/// A file that is appended to, or standard output.
///
/// Room is set aside behind the file's end (`fallocate` with `FALLOC_FL_KEEP_SIZE`): no other program can take it, the file's
/// length does not change, and what was not used is given back when the file is closed, or at the next start after a crash.
struct AuditFile: AuditOutput {
    private let descriptor: CInt
    /// Standard output is not ours to close.
    private let isOwn: Bool
    private var canReserve: Bool
    /// Offset of the first byte that is not set aside.
    private var reservedEnd: Int = 0
    /// At the last look; smaller now: something has truncated the file, and with it what was set aside.
    private var size: Int = 0

    init(_ destination: AuditDestination) throws(AuditLogError) {
        switch destination {
        case .standardOutput:
            self.descriptor = STDOUT_FILENO
            self.isOwn = false
            self.canReserve = false
        case .file(let path):
            self.descriptor = openForAppending(path)
            self.isOwn = true
            self.canReserve = true
            guard self.descriptor >= 0 else {
                throw AuditLogError(path: path, reason: "\(AuditOutputError(number: errno))")
            }
        }
    }

    mutating func write(_ bytes: ArraySlice<UInt8>) -> Result<Int, AuditOutputError> {
        let descriptor: CInt = self.descriptor
        return bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return .success(0) }
            while true {
                let count: Int = writeBytes(descriptor, base, buffer.count)
                if count > 0 { return .success(count) }
                let number: CInt = count < 0 ? errno : ENOSPC
                if number != EINTR { return .failure(AuditOutputError(number: number)) }
            }
        }
    }

    mutating func reserve(low: Int, high: Int) throws(AuditOutputError) {
        guard self.canReserve else { return }
        guard let size = sizeOfFile(self.descriptor) else {
            self.canReserve = false
            return
        }
        if size < self.size { self.reservedEnd = size }
        self.size = size
        guard size + low > self.reservedEnd else { return }
        let number: CInt = latchstring_set_aside(self.descriptor, Int64(size), Int64(high))
        switch number {
        case 0: self.reservedEnd = size + high
        // No file system, or one that cannot.
        case EOPNOTSUPP, ENODEV, ESPIPE, ENOSYS, EINVAL: self.canReserve = false
        default: throw AuditOutputError(number: number)
        }
    }

    mutating func close() {
        guard self.isOwn else { return }
        // To its own length: what was set aside behind it goes back.
        if self.reservedEnd > 0, let size = sizeOfFile(self.descriptor), size < self.reservedEnd {
            truncateFile(self.descriptor, size)
        }
        closeDescriptor(self.descriptor)
    }
}

// The system's functions, by names that the methods above do not hide.

private func openForAppending(_ path: String) -> CInt {
    open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR)
}

private func writeBytes(_ descriptor: CInt, _ base: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, base, count)
}

private func closeDescriptor(_ descriptor: CInt) {
    _ = close(descriptor)
}

private func truncateFile(_ descriptor: CInt, _ size: Int) {
    _ = ftruncate(descriptor, off_t(size))
}

/// nil: not a regular file.
private func sizeOfFile(_ descriptor: CInt) -> Int? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Int(status.st_size)
}
