internal import Foundation
internal import NIOConcurrencyHelpers

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// A file operation that failed.
struct DiskFileError: Error, CustomStringConvertible {
    var operation: String
    var code: CInt

    var description: String { "\(self.operation): \(String(cString: strerror(self.code)))" }

    /// Whether there is no such file: the one error that says something about what is stored.
    var isAbsence: Bool { self.code == ENOENT }

    static func last(_ operation: String) -> DiskFileError { DiskFileError(operation: operation, code: errno) }
}

/// The file operations of the disk store. A protocol, so that tests can have a disk that is full or fails.
protocol DiskFiles: Sendable {
    /// Makes an empty file, readable and writable for this user only, in the place of any that is there.
    func create(_ path: String) throws -> CInt
    func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws
    func flush(_ descriptor: CInt) throws
    func rename(_ path: String, to target: String) throws
    func remove(_ path: String)
    func open(_ path: String) throws -> CInt
    func size(_ descriptor: CInt) throws -> Int
    /// Fills the buffer from a position, or as much of it as the file has.
    func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at position: Int) throws -> Int
    func close(_ descriptor: CInt)
}

/// The file system's own.
struct SystemFiles: DiskFiles {
    func create(_ path: String) throws -> CInt {
        #if canImport(Darwin)
            let flags: CInt = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC
        #else
            let flags: CInt = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
        #endif
        let descriptor: CInt = systemOpen(path, flags, 0o600)
        guard descriptor >= 0 else { throw DiskFileError.last("create") }
        return descriptor
    }

    func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws {
        var rest: UnsafeRawBufferPointer = bytes
        while !rest.isEmpty {
            let count: Int = systemWrite(descriptor, rest)
            if count < 0 {
                if errno == EINTR { continue }
                throw DiskFileError.last("write")
            }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
        }
    }

    func flush(_ descriptor: CInt) throws {
        guard fsync(descriptor) == 0 else { throw DiskFileError.last("fsync") }
    }

    func rename(_ path: String, to target: String) throws {
        guard systemRename(path, target) == 0 else { throw DiskFileError.last("rename") }
    }

    func remove(_ path: String) {
        _ = unlink(path)
    }

    func open(_ path: String) throws -> CInt {
        let descriptor: CInt = systemOpen(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0)
        guard descriptor >= 0 else { throw DiskFileError.last("open") }
        return descriptor
    }

    func size(_ descriptor: CInt) throws -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw DiskFileError.last("fstat") }
        return Int(status.st_size)
    }

    func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at position: Int) throws -> Int {
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count: Int = pread(descriptor, rest.baseAddress, rest.count, off_t(position + filled))
            if count < 0 {
                if errno == EINTR { continue }
                throw DiskFileError.last("read")
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    func close(_ descriptor: CInt) {
        systemClose(descriptor)
    }
}

// The methods above bear the names of the functions they call.
private func systemOpen(_ path: String, _ flags: CInt, _ mode: mode_t) -> CInt { open(path, flags, mode) }
private func systemWrite(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) -> Int {
    write(descriptor, bytes.baseAddress, bytes.count)
}
private func systemRename(_ path: String, _ target: String) -> CInt { rename(path, target) }
private func systemClose(_ descriptor: CInt) { _ = close(descriptor) }

/// The folder of the disk store, held against other processes until it is released.
final class DiskFolder: Sendable {
    let path: String
    /// Bodies are spread over so many folders: 16,000 files in each where there are a million.
    static let bodyFolders = 64
    private let lock: NIOLockedValueBox<CInt?>

    /// Makes the folder if it is not there, takes it for this user alone, and locks it.
    ///
    /// - Throws: `DiskStoreError`.
    init(_ path: String) throws {
        self.path = path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw DiskStoreError(path: path, reason: "the folder can't be made: \(error.localizedDescription)")
        }
        // A folder that another process uses would be taken away from it.
        let present: Set<String> = Set((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [])
        guard present.contains("lock") || present.isSubset(of: ["lost+found"]) else {
            throw DiskStoreError(path: path, reason: "the folder holds other files; give the cache one of its own")
        }
        guard chmod(path, 0o700) == 0 else {
            let failure = DiskFileError.last("chmod")
            throw DiskStoreError(
                path: path, reason: "it must belong to the user who runs the edge, with all that is in it (\(failure))")
        }
        let descriptor: CInt = try Self.lock(path)
        self.lock = NIOLockedValueBox(descriptor)
        for number in 0..<Self.bodyFolders {
            let folder: String = self.bodyFolder(number)
            if mkdir(folder, 0o700) != 0, errno != EEXIST, number == 0 {
                // The parent is not there yet.
                guard mkdir("\(path)/bodies", 0o700) == 0 || errno == EEXIST, mkdir(folder, 0o700) == 0 else {
                    systemClose(descriptor)
                    throw DiskStoreError(path: path, reason: "\(DiskFileError.last("mkdir"))")
                }
            }
        }
    }

    deinit {
        self.release()
    }

    private static func lock(_ path: String) throws -> CInt {
        let descriptor: CInt = systemOpen("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw DiskStoreError(path: path, reason: "\(DiskFileError.last("open the lock"))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            systemClose(descriptor)
            throw DiskStoreError(path: path, reason: "another process uses it; give each edge a folder of its own")
        }
        return descriptor
    }

    /// Takes it again, after ``release()``.
    ///
    /// - Throws: `DiskStoreError`, if another process uses it.
    func acquire() throws {
        try self.lock.withLockedValue { lock in
            if lock == nil { lock = try Self.lock(self.path) }
        }
    }

    /// Lets other processes have it.
    func release() {
        self.lock.withLockedValue { lock in
            if let lock { systemClose(lock) }
            lock = nil
        }
    }

    var index: String { "\(self.path)/index.sqlite" }

    func bodyFolder(_ number: Int) -> String {
        "\(self.path)/bodies/\(number < 16 ? "0" : "")\(String(number, radix: 16))"
    }

    func body(_ id: Int64) -> String {
        "\(self.bodyFolder(Int(id & Int64(Self.bodyFolders - 1))))/\(String(id, radix: 16))"
    }

    /// Where a body is written before it gets its name.
    func partialBody(_ id: Int64) -> String { self.body(id) + ".part" }

    /// The number in a body's file name, and whether it is a partial one; nil for other files.
    static func bodyID(_ name: String) -> (id: Int64, isPartial: Bool)? {
        let isPartial: Bool = name.hasSuffix(".part")
        return Int64(isPartial ? String(name.dropLast(5)) : name, radix: 16).map { ($0, isPartial) }
    }

    /// Makes the index file for this user only, before SQLite makes it for all.
    func prepareIndex() throws {
        let descriptor: CInt = systemOpen(self.index, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw DiskStoreError(path: self.index, reason: "\(DiskFileError.last("open"))") }
        systemClose(descriptor)
    }

    func removeIndex() {
        for suffix in ["", "-wal", "-shm", "-journal"] { _ = unlink(self.index + suffix) }
    }
}

/// Why the disk store can't be used.
public struct DiskStoreError: Error, CustomStringConvertible, Sendable {
    public var path: String
    public var reason: String

    public var description: String { "disk store \(self.path): \(self.reason)" }
}
