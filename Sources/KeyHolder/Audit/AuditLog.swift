import Logging
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where audit lines go.
public enum AuditDestination: Hashable, Sendable {
    /// Appended to; made with mode 0600 if it is not there.
    case file(String)
    case standardOutput
}

/// Why the audit log could not be opened.
public struct AuditLogError: Error, Equatable, Sendable, CustomStringConvertible {
    public var path: String
    public var reason: String

    public var description: String {
        "cannot open the audit log \(self.path): \(self.reason); check the directory and that this user may write there"
    }
}

/// Writes audit lines without ever blocking the caller.
///
/// Lines wait in memory, up to a bound, for a thread of their own. Every operation reserves its line beforehand; when the
/// disk does not keep up, or is full, there are no more reservations, and operations are refused rather than left
/// unaudited. A line that could not be written is kept and tried again.
final class AuditLog: Sendable {
    private struct State {
        /// Lines not handed to the writer yet.
        var lines: [UInt8] = []
        /// Lines reserved or waiting or being written.
        var pending: Int = 0
        /// Lines within `lines`.
        var waiting: Int = 0
        var writing: Bool = false
    }

    /// The writer's own; only touched on its one thread.
    private struct Output {
        var descriptor: CInt
        /// What a failed write left over.
        var unwritten: ArraySlice<UInt8> = []
        var unwrittenLines: Int = 0
        var failing: Bool = false
    }

    private let destination: AuditDestination
    private let limit: Int
    private let state = Mutex(State())
    private let output: Mutex<Output>
    private let thread: NIOThreadPool
    private let logger: Logger

    /// - Parameter limit: How many lines may be reserved or waiting at once.
    /// - Throws: ``AuditLogError``.
    init(_ destination: AuditDestination, limit: Int, logger: Logger) throws {
        self.destination = destination
        self.limit = limit
        self.logger = logger
        self.output = Mutex(Output(descriptor: try Self.open(destination)))
        self.thread = NIOThreadPool(numberOfThreads: 1)
        self.thread.start()
    }

    /// Makes room for one line. False: the log cannot keep up, so the operation must not happen.
    func reserve() -> Bool {
        let (granted, retry): (Bool, Bool) = self.state.withLock { state in
            guard state.pending >= self.limit else {
                state.pending += 1
                return (true, false)
            }
            // Nothing may be under way any more if the last write failed.
            let retry: Bool = !state.writing
            if retry { state.writing = true }
            return (false, retry)
        }
        if retry { self.startWriting() }
        return granted
    }

    /// Takes in a line that was reserved before. ``flush()`` has it written.
    func record(_ record: AuditRecord) {
        self.state.withLock { state in
            record.appendLine(to: &state.lines)
            state.waiting += 1
        }
    }

    /// Starts the writer if lines wait and it isn't writing. Called once for the requests of one read, since waking a
    /// thread costs more than a line.
    func flush() {
        let start: Bool = self.state.withLock { state in
            guard state.waiting > 0, !state.writing else { return false }
            state.writing = true
            return true
        }
        if start { self.startWriting() }
    }

    /// Lines reserved or not written yet.
    var pendingLines: Int {
        self.state.withLock { $0.pending }
    }

    var hasRoom: Bool {
        self.pendingLines < self.limit
    }

    /// Gives back a reservation that no line came of.
    func cancel() {
        self.state.withLock { $0.pending -= 1 }
    }

    /// Opens the file again, after something else has renamed it. Keeps the old one if that fails.
    func reopen() throws {
        guard case .file = self.destination else { return }
        let fresh: CInt = try Self.open(self.destination)
        self.thread.submit { _ in
            self.output.withLock { output in
                _ = close(output.descriptor)
                output.descriptor = fresh
            }
        }
    }

    /// Writes what is waiting, then closes the file. Call it when nothing records any more.
    func shutDown() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            self.thread.submit { _ in
                self.writeAll()
                continuation.resume()
            }
        }
        try? await self.thread.shutdownGracefully()
        self.output.withLock { output in
            if case .file = self.destination { _ = close(output.descriptor) }
            if output.unwrittenLines > 0 {
                self.logger.error(
                    "audit lines lost: the audit log could not be written",
                    metadata: ["lines": "\(output.unwrittenLines)"])
            }
        }
    }

    private func startWriting() {
        self.thread.submit { state in
            guard case .active = state else { return }
            self.writeAll()
        }
    }

    /// On the writer's thread. Goes on until nothing waits or a write fails.
    private func writeAll() {
        self.output.withLock { output in
            while true {
                let batch: (lines: [UInt8], count: Int)? = self.state.withLock { state in
                    guard state.waiting > 0 || output.unwrittenLines > 0 else {
                        state.writing = false
                        return nil
                    }
                    let batch = (lines: state.lines, count: state.waiting)
                    state.lines = []
                    state.waiting = 0
                    return batch
                }
                guard let batch else { return }
                output.unwritten += batch.lines
                output.unwrittenLines += batch.count
                guard self.write(&output) else {
                    self.state.withLock { $0.writing = false }
                    return
                }
                let written: Int = output.unwrittenLines
                output.unwritten = []
                output.unwrittenLines = 0
                self.state.withLock { $0.pending -= written }
            }
        }
    }

    private func write(_ output: inout Output) -> Bool {
        while !output.unwritten.isEmpty {
            let descriptor: CInt = output.descriptor
            let written: Int = output.unwritten.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                return writeBytes(descriptor, base, buffer.count)
            }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else {
                if !output.failing {
                    let reason = String(cString: strerror(errno))
                    self.logger.critical(
                        "cannot write the audit log; operations will be refused when the queue is full",
                        metadata: ["reason": "\(reason)"])
                }
                output.failing = true
                return false
            }
            output.unwritten = output.unwritten.dropFirst(written)
        }
        if output.failing { self.logger.notice("the audit log can be written again") }
        output.failing = false
        return true
    }

    private static func open(_ destination: AuditDestination) throws -> CInt {
        switch destination {
        case .standardOutput:
            return STDOUT_FILENO
        case .file(let path):
            let descriptor: CInt = openForAppending(path)
            guard descriptor >= 0 else { throw AuditLogError(path: path, reason: String(cString: strerror(errno))) }
            return descriptor
        }
    }
}

// The system's functions, by names that the methods above do not hide.

private func openForAppending(_ path: String) -> CInt {
    open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR)
}

private func writeBytes(_ descriptor: CInt, _ base: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, base, count)
}
