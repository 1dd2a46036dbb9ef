import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Runs the `openssl` command in a directory of its own: a second opinion on what we issue.
struct OpenSSL: ~Copyable {
    struct Outcome {
        var status: Int32
        var output: String
    }

    let directory: String

    init() throws {
        var template: [CChar] = Array("/tmp/latchstring-authority-tests.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw POSIXFailure(call: "mkdtemp", number: errno) }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: directory)
    }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(directory)/\(name)"))
    }

    /// Runs `openssl ARGUMENTS` in the directory and waits for its end. Standard error is part of the output.
    func run(_ arguments: String...) throws -> Outcome {
        let command = "cd '\(directory)' && openssl \(arguments.joined(separator: " ")) > output 2>&1 < /dev/null"
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-c"), strdup(command), nil]
        defer { arguments.forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, "/bin/sh", nil, nil, &arguments, environ)
        guard failure == 0 else { throw POSIXFailure(call: "posix_spawn", number: failure) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) == -1 {
            guard errno == EINTR else { throw POSIXFailure(call: "waitpid", number: errno) }
        }
        let output = try Data(contentsOf: URL(filePath: "\(directory)/output"))
        return Outcome(status: status, output: String(decoding: output, as: UTF8.self))
    }
}

struct POSIXFailure: Error {
    var call: String
    var number: Int32
}
