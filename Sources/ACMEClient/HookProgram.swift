import CSystemShims

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A program of the owner's that puts a record into DNS, and takes it away again.
///
/// It gets what it needs in its environment, which holds nothing else but `PATH`, and no open file but the standard ones. What it
/// writes to standard error is shown if it fails. When its time is up, it is ended with all that it started.
public struct HookProgram: Hashable, Sendable {
    public enum Action: String, Sendable { case present, cleanup }

    /// An absolute path, and arguments.
    public var command: [String]
    public var timeout: Duration

    public init(command: [String], timeout: Duration) {
        self.command = command
        self.timeout = timeout
    }

    public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        public var description: String
    }

    /// Bytes of standard error that are kept.
    static let longestError = 2000

    /// Runs it to its end on the calling thread.
    public func run(_ action: Action, domain: String, record: String, value: String) throws(Failure) {
        guard let program = self.command.first else { throw Failure(description: "there is no hook program") }
        let environment = [
            "PATH=\(getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin")", "ACME_ACTION=\(action.rawValue)",
            "ACME_DOMAIN=\(domain)", "ACME_RECORD=\(record)", "ACME_VALUE=\(value)",
        ]
        var pipes: [CInt] = [-1, -1]
        guard pipe(&pipes) == 0 else { throw Self.system("a pipe for \(program)", errno) }
        for end in pipes { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(pipes[0], F_SETFL, O_NONBLOCK)
        defer { close(pipes[0]) }
        let process: pid_t
        do throws(Failure) {
            process = try Self.spawn(program, self.command, environment, errors: pipes[1])
        } catch {
            close(pipes[1])
            throw error
        }
        close(pipes[1])
        let (status, text) = self.wait(for: process, pipes[0])
        guard let status else {
            throw Failure(description: "\(program) did not end within \(self.timeout), and was stopped\(text)")
        }
        guard status == 0 else { throw Failure(description: "\(program) \(Self.end(status))\(text)") }
    }

    private static func system(_ what: String, _ number: Int32) -> Failure {
        Failure(description: "cannot start \(what): \(String(cString: strerror(number)))")
    }

    private static func spawn(
        _ program: String, _ command: [String], _ environment: [String], errors: CInt
    ) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        latchstring_spawn_closes_from(&actions, 3)
        var attributes = posix_spawnattr_t()
        latchstring_spawn_attributes(&attributes, 1, 0)
        defer { posix_spawnattr_destroy(&attributes) }
        let arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        let variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { (arguments + variables).forEach { free($0) } }
        var process: pid_t = 0
        let result = posix_spawn(&process, program, &actions, &attributes, arguments, variables)
        guard result == 0 else { throw Self.system(program, result) }
        return process
    }

    /// - Returns: The status as `waitpid` has it, nil if its time was up; and what it wrote.
    private func wait(for process: pid_t, _ errors: CInt) -> (status: Int32?, text: String) {
        let end = ContinuousClock.now + self.timeout
        var written: [UInt8] = []
        while !Self.hasEnded(process), ContinuousClock.now < end {
            Self.drain(errors, into: &written)
            usleep(20_000)
        }
        let isLate = !Self.hasEnded(process)
        Self.drain(errors, into: &written)
        // With all that it started. It is not reaped yet, so its number is no other group's.
        kill(-process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let text = String(decoding: written, as: UTF8.self).split(whereSeparator: \.isNewline).joined(separator: " / ")
        let shown = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : Character($0) }
        return (isLate ? nil : status, shown.isEmpty ? "" : ": \(String(shown))")
    }

    private static func hasEnded(_ process: pid_t) -> Bool {
        var information = siginfo_t()
        let result = waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT)
        return result != 0 ? errno != EINTR : information.si_signo == SIGCHLD
    }

    private static func drain(_ descriptor: CInt, into written: inout [UInt8]) {
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            written.append(contentsOf: chunk[..<min(count, Self.longestError - min(written.count, Self.longestError))])
        }
    }

    private static func end(_ status: Int32) -> String {
        status & 0x7F == 0 ? "failed with exit status \(status >> 8 & 0xFF)" : "was ended by signal \(status & 0x7F)"
    }
}
