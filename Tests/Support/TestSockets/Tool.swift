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
        let handles = [
            try FileHandle(forReadingFrom: files[0]), try FileHandle(forWritingTo: files[1]),
            try FileHandle(forWritingTo: files[2]),
        ]
        let process = try ChildProcess(
            "timeout", ["\(limit)", program] + arguments, input: handles[0].fileDescriptor,
            output: handles[1].fileDescriptor, errors: handles[2].fileDescriptor)
        for handle in handles { try handle.close() }
        let end = try eventually("the end of \(program)", within: limit + 5) { process.end }
        let status: Int32 =
            switch end {
            case .exit(let status): status
            case .signal(let number): number
            }
        return Result(
            status: status, output: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self),
            errors: String(decoding: try Data(contentsOf: files[2]), as: UTF8.self))
    }
}
