import CFileSpace
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file that is appended to, or standard output.
///
/// Room is set aside behind a file's end (`fallocate` with `FALLOC_FL_KEEP_SIZE`): no other program can take it, the file's
/// length does not change, and what was not used is given back when the file is closed, or at the next start after a crash.
///
/// A pipe whose reader takes nothing is given up for the moment after ``patience``: no write to it is longer than what a pipe that is
/// ready has room for.
struct AuditFile: AuditOutput {
    /// Milliseconds.
    private static let patience: CInt = 2000
    /// `PIPE_BUF` of Linux.
    private static let pipeRoom = 4096

    /// Which file it is, by whatever name.
    struct Identity: Equatable {
        var device: UInt64
        var file: UInt64
    }

    /// -1: it is closed.
    private var descriptor: CInt
    /// Standard output is not ours to close.
    private let isOwn: Bool
    /// nil: not a regular file.
    let identity: Identity?
    private var canReserve: Bool
    /// Offset of the first byte that is not set aside.
    private var reservedEnd: Int = 0
    /// At the last look, and what was written since; smaller now: something has truncated the file, and with it what was set aside.
    private var size: Int = 0

    static let standardOutput = AuditFile(descriptor: STDOUT_FILENO, isOwn: false)

    private init(descriptor: CInt, isOwn: Bool) {
        self.descriptor = descriptor
        self.isOwn = isOwn
        self.identity = identityOfFile(descriptor)
        self.canReserve = isOwn
    }

    init(path: String) throws(AuditLogError) {
        let descriptor = openForAppending(path)
        guard descriptor >= 0 else {
            throw AuditLogError(place: path, reason: SystemError.words(errno))
        }
        self.init(descriptor: descriptor, isOwn: true)
    }

    /// Keeps other key holders from writing there. False: one does already.
    func lock() -> Bool {
        guard self.isOwn, self.identity != nil else { return true }
        return flock(self.descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK
    }

    mutating func write(_ bytes: ArraySlice<UInt8>) -> Result<Int, AuditOutputError> {
        var most = bytes.count
        if self.identity == nil {
            guard canWrite(self.descriptor, within: Self.patience) else { return .failure(.stalled) }
            most = min(most, Self.pipeRoom)
        }
        return bytes.prefix(most).withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return .success(0) }
            while true {
                let count: Int = writeBytes(self.descriptor, base, buffer.count)
                if count > 0 {
                    self.size += count
                    return .success(count)
                }
                let number: CInt = count < 0 ? errno : ENOSPC
                if number != EINTR { return .failure(AuditOutputError(number: number)) }
            }
        }
    }

    mutating func wasTruncated() -> Bool {
        guard self.identity != nil, let size = sizeOfFile(self.descriptor) else { return false }
        defer { self.size = size }
        guard size < self.size else { return false }
        self.reservedEnd = size
        return true
    }

    mutating func reserve(low: Int, high: Int) throws(AuditOutputError) {
        guard self.canReserve else { return }
        guard let size = sizeOfFile(self.descriptor) else {
            self.canReserve = false
            return
        }
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
        guard self.isOwn, self.descriptor >= 0 else { return }
        // To its own length: what was set aside behind it goes back.
        if self.reservedEnd > 0, let size = sizeOfFile(self.descriptor), size < self.reservedEnd {
            truncateFile(self.descriptor, size)
        }
        closeDescriptor(self.descriptor)
        // The number may be another file's from now on.
        self.descriptor = -1
    }
}

// The system's functions, by names that the methods above do not hide.

private func openForAppending(_ path: String) -> CInt {
    open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR)
}

private func canWrite(_ descriptor: CInt, within milliseconds: CInt) -> Bool {
    var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while true {
        let count = poll(&wanted, 1, milliseconds)
        // What is wrong with it, the write says.
        if count != 0, count > 0 || errno != EINTR { return true }
        if count == 0 { return false }
    }
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
private func statusOfFile(_ descriptor: CInt) -> stat? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return status
}

private func sizeOfFile(_ descriptor: CInt) -> Int? { statusOfFile(descriptor).map { Int($0.st_size) } }

private func identityOfFile(_ descriptor: CInt) -> AuditFile.Identity? {
    statusOfFile(descriptor).map { AuditFile.Identity(device: UInt64($0.st_dev), file: UInt64($0.st_ino)) }
}
