import CSystemShims
public import Foundation
import Synchronization

/// A program that a test starts. Foundation's `Process` reads directory entries beyond their end when it looks for open
/// descriptors, and now and then that ends the tests; this one leaves that to the system.
///
/// Methods that wait block. What is still running when the last reference goes is killed.
public final class ChildProcess: Sendable {
    public struct Failure: Error, CustomStringConvertible {
        public var program: String
        public var code: Int32
        public var description: String { "\(self.program) can't be started: \(String(cString: strerror(self.code)))" }
    }

    /// How it ended.
    public enum End: Equatable, Sendable {
        case exit(Int32)
        case signal(Int32)
    }

    public let pid: Int32
    private let state = Mutex<End?>(nil)

    /// Starts a program with the descriptors 0, 1 and 2 and no other, all signals at their default, none blocked.
    ///
    /// - Parameters:
    ///   - program: a path, or a name to be looked up in `PATH`.
    ///   - input, output, errors: descriptors that it gets; nil: `/dev/null`. They stay the caller's.
    public init(
        _ program: String, _ arguments: [String], directory: String? = nil, input: Int32? = nil, output: Int32? = nil,
        errors: Int32? = nil
    ) throws {
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(null) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // A descriptor of the caller's may be one of the three: copies above them first.
        let copies = [input, output, errors].map { fcntl($0 ?? null, F_DUPFD_CLOEXEC, 3) }
        defer { for copy in copies { close(copy) } }
        for (target, copy) in copies.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, copy, Int32(target))
        }
        latchstring_spawn_closes_from(&actions, 3)
        if let directory { latchstring_spawn_in(&actions, directory) }
        var attributes = posix_spawnattr_t()
        latchstring_spawn_attributes(&attributes, 0, 0)
        defer { posix_spawnattr_destroy(&attributes) }
        let words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, program, &actions, &attributes, words, environ)
        guard code == 0 else { throw Failure(program: program, code: code) }
        self.pid = pid
    }

    deinit {
        self.send(SIGKILL)
        _ = self.waitForEnd()
    }

    /// How it ended; nil while it runs.
    public var end: End? { self.look(WNOHANG) }

    public var isRunning: Bool { self.end == nil }

    /// Waits without a limit.
    public func waitForEnd() -> End {
        while true {
            if let end = self.look(WNOHANG) { return end }
            usleep(2_000)
        }
    }

    private func look(_ options: Int32) -> End? {
        self.state.withLock { end in
            if let end { return end }
            var status: Int32 = 0
            let found = waitpid(self.pid, &status, options)
            if found == self.pid {
                end = status & 0x7F == 0 ? .exit(status >> 8 & 0xFF) : .signal(status & 0x7F)
            } else if found == -1, errno == ECHILD {
                end = .signal(0)
            }
            return end
        }
    }

    /// Sends a signal, if it still runs.
    public func send(_ signal: Int32) {
        self.state.withLock { end in
            // Not reaped yet, so that the number is still its own.
            if end == nil { kill(self.pid, signal) }
        }
    }
}

/// A pipe to or from a program.
public final class ChildPipe: Sendable {
    public let reading: FileHandle
    public let writing: FileHandle

    public init() throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw ChildProcess.Failure(program: "pipe", code: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        self.reading = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        self.writing = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
    }
}
