import Foundation
import TestSockets

/// An ordinary client that is talked to while it runs, such as `openssl s_client` with its commands.
final class InteractiveTool: Sendable {
    private let process: ChildProcess
    private let input: FileHandle
    private let output: URL

    /// - Parameter seconds: after which it is ended, whatever it does.
    init(_ program: String, _ arguments: [String], seconds: Int = 60, in workspace: Workspace) throws {
        self.output = workspace.url.appending(path: "\(program)-\(UUID().uuidString.prefix(8)).out")
        try Data().write(to: self.output)
        let file = try FileHandle(forWritingTo: self.output)
        let pipe = try ChildPipe()
        self.process = try ChildProcess(
            "timeout", ["\(seconds)", program] + arguments, input: pipe.reading.fileDescriptor,
            output: file.fileDescriptor,
            errors: file.fileDescriptor)
        try file.close()
        try pipe.reading.close()
        self.input = pipe.writing
    }

    var text: String {
        String(decoding: (try? Data(contentsOf: self.output)) ?? Data(), as: UTF8.self)
    }

    func send(_ text: String) throws {
        try self.input.write(contentsOf: Data(text.utf8))
    }

    /// Waits until it has written the text so many times.
    func wait(for text: String, times: Int = 1) throws {
        do {
            _ = try eventually("'\(text)'") {
                self.text.components(separatedBy: text).count > times ? true : nil
            }
        } catch {
            throw NeverHappened(what: "'\(text)' \(times) times. Its output:\n\(self.text)")
        }
    }

    /// Ends its input and waits for its end.
    func finish() throws {
        try self.input.close()
        _ = try eventually("the end of the tool") { self.process.isRunning ? nil : true }
    }
}
