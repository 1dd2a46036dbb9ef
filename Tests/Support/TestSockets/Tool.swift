import Foundation

/// An ordinary client run once, such as curl or openssl.
public enum Tool {
    public struct Result: Sendable {
        public var status: Int32
        public var output: String
        public var errors: String
        /// Both, for clients that divide them as they like.
        public var all: String { self.output + self.errors }
    }

    /// Runs a program to its end; ends it after `limit` seconds. Blocks.
    ///
    /// - Parameter input: What it reads on its standard input, which ends there.
    public static func run(
        _ program: String, _ arguments: [String], input: String = "", limit: Int = 30
    ) throws -> Result {
        let directory = FileManager.default.temporaryDirectory.appending(path: "latchstring-tool-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let files = ["in", "out", "err"].map { directory.appending(path: $0) }
        for file in files { try Data().write(to: file) }
        try Data(input.utf8).write(to: files[0])
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["timeout", "\(limit)", program] + arguments
        process.standardInput = try FileHandle(forReadingFrom: files[0])
        process.standardOutput = try FileHandle(forWritingTo: files[1])
        process.standardError = try FileHandle(forWritingTo: files[2])
        try process.run()
        _ = try eventually("the end of \(program)") { process.isRunning ? nil : true }
        return Result(
            status: process.terminationStatus, output: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self),
            errors: String(decoding: try Data(contentsOf: files[2]), as: UTF8.self))
    }
}
