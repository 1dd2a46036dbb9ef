import Foundation
import TestSockets

/// One line of a process's log, as JSON has it.
struct LogLine: Sendable {
    var fields: [String: String]

    init?(_ text: Substring) {
        guard text.first == "{", let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)),
            let dictionary = object as? [String: Any]
        else { return nil }
        self.fields = dictionary.mapValues { "\($0)" }
    }

    var message: String { self.fields["message"] ?? "" }

    subscript(key: String) -> String? { self.fields[key] }
}

/// A `latchstring` process under test, the very binary that was built beside these tests.
///
/// What it writes goes to a file in the workspace, so that nothing of it is lost when a test fails. Methods that wait block.
final class TestProcess: Sendable {
    /// The program built with the tests.
    static let executable: URL = {
        // Where tests run in a unit of systemd: what they start is not that unit's service.
        unsetenv("INVOCATION_ID")
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appending(path: "latchstring")
    }()

    private let process: ChildProcess
    private let output: URL
    private let pipe: ChildPipe

    /// Starts `latchstring ARGUMENTS` in the workspace.
    ///
    /// - Parameter name: What its output file is called.
    /// - Parameter program: Another program, which runs `latchstring` in its own place.
    /// - Parameter descriptors: Its hard and soft limit for open files.
    /// - Parameter logIsRead: Whether its output goes to the file; otherwise into a pipe that is never read.
    init(
        _ arguments: [String], name: String, program: String? = nil, descriptors: Int? = nil, logIsRead: Bool = true,
        in workspace: Workspace
    ) throws {
        self.output = workspace.url.appending(path: "\(name)-\(UUID().uuidString.prefix(8)).log")
        try Data().write(to: self.output)
        let file = try FileHandle(forWritingTo: self.output)
        self.pipe = try ChildPipe()
        // F_SETPIPE_SZ, which Swift does not see: the least that the system takes is full with a few lines.
        if !logIsRead { _ = fcntl(self.pipe.writing.fileDescriptor, 1031, 4096) }
        let log = logIsRead ? file.fileDescriptor : self.pipe.writing.fileDescriptor
        let limited = descriptors.map { ["-c", "ulimit -n \($0); exec \"$0\" \"$@\"", Self.executable.path] }
        self.process = try ChildProcess(
            limited != nil ? "/bin/sh" : program ?? Self.executable.path, (limited ?? []) + arguments,
            directory: workspace.url.path, output: log, errors: log)
        try file.close()
    }

    var pid: Int32 { self.process.pid }

    var isRunning: Bool { self.process.isRunning }

    /// All that it wrote so far.
    var text: String { (try? String(contentsOf: self.output, encoding: .utf8)) ?? "" }

    /// Its log lines so far.
    var log: [LogLine] { self.text.split(separator: "\n").compactMap { LogLine($0) } }

    /// Its log lines with this message.
    func lines(_ message: String) -> [LogLine] { self.log.filter { $0.message == message } }

    /// Waits for a log line with this message that meets a condition; fails if the process ends instead.
    @discardableResult
    func wait(for message: String, where condition: (LogLine) -> Bool = { _ in true }) throws -> LogLine {
        do {
            return try eventually("log line '\(message)'") {
                if let line = self.lines(message).first(where: condition) { return line }
                guard self.process.isRunning else { throw NeverHappened(what: "log line '\(message)'; it has ended") }
                return nil
            }
        } catch {
            throw NeverHappened(what: "log line '\(message)'. Its output:\n\(self.text)")
        }
    }

    /// The port of its listener, once it is ready.
    func listeningPort() throws -> UInt16 {
        let line = try self.wait(for: "listening")
        guard let port = line["address"]?.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw NeverHappened(what: "an address in: \(line.fields)")
        }
        return port
    }

    /// Waits for its end and gives the exit status; the negative signal number if a signal ended it.
    func waitForExit() throws -> Int32 {
        try eventually("the end of process \(self.pid)") {
            switch self.process.end {
            case .exit(let status): status
            case .signal(let number): -number
            case nil: nil
            }
        }
    }

    func send(_ signal: Int32) { self.process.send(signal) }

    /// Asks it to end (SIGTERM), and kills it if it does not.
    func stop() {
        guard self.process.isRunning else { return }
        self.process.send(SIGTERM)
        if (try? self.waitForExit()) == nil {
            self.process.send(SIGKILL)
            _ = try? self.waitForExit()
        }
    }

    /// Ends it at once, as a crash would.
    func kill9() {
        self.process.send(SIGKILL)
        _ = try? self.waitForExit()
    }

    /// How many descriptors it has open.
    var openDescriptors: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(self.pid)/fd").count) ?? 0
    }
}
