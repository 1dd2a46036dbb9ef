import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@testable import Telemetry

@Suite("Log lines")
struct LoggingTests {
    private static func record(
        _ message: String = "connection closed", level: Logger.Level = .info, error: String? = nil,
        metadata: Logger.Metadata = [:]
    ) -> LogRecord {
        LogRecord(
            time: LogTimestamp(seconds: 1_769_860_799, milliseconds: 7), level: level, label: "edge", message: message,
            error: error, metadata: metadata)
    }

    @Test(
        "Times are RFC 3339 with milliseconds",
        arguments: [
            (0, 0, "1970-01-01T00:00:00.000Z"), (951_782_399, 999, "2000-02-28T23:59:59.999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.001Z"), (1_735_689_599, 50, "2024-12-31T23:59:59.050Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"), (-1, 500, "1969-12-31T23:59:59.500Z"),
        ] as [(Int64, Int, String)])
    func timestamps(seconds: Int64, milliseconds: Int, expected: String) {
        var text = ""
        LogTimestamp(seconds: seconds, milliseconds: milliseconds).append(to: &text)
        #expect(text == expected)
    }

    @Test("JSON: fixed keys first, metadata flattened and in order")
    func json() {
        let line = JSONLogFormatter.format(
            Self.record(metadata: [
                "connection": "17", "peer": ["ip": "::1", "deep": ["port": "1"]], "ports": ["1", "2"],
            ]))
        #expect(
            line == """
                {"ts":"2026-01-31T11:59:59.007Z","level":"info","label":"edge","message":"connection closed",\
                "connection":"17","peer.deep.port":"1","peer.ip":"::1","ports":["1","2"]}
                """)
    }

    @Test("JSON stays valid and lossless for every kind of text")
    func jsonEscaping() throws {
        let wild = "q\" b\\ n\n r\r t\t z\u{0} e\u{1B} d\u{7F} c\u{85} ä 🙂 \u{2028}"
        let line = JSONLogFormatter.format(
            Self.record(wild, error: wild, metadata: ["message": "other", "error": "mine", wild: "\(wild)"]))
        #expect(!line.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) })
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        #expect(object["message"] == wild)
        #expect(object["error"] == wild)
        #expect(object["metadata.message"] == "other")
        #expect(object["metadata.error"] == "mine")
        #expect(object[wild] == wild)
    }

    @Test("Text: values are quoted where they need it, and nothing from outside ends the line")
    func text() {
        let line = TextLogFormatter(colours: false).format(
            Self.record("hello\u{1B}[31m", level: .warning, metadata: ["a": "plain", "b": "two words", "c": "x\ny"]))
        #expect(
            line == "2026-01-31T11:59:59.007Z warning  edge: hello\\u{1b}[31m a=plain b=\"two words\" c=\"x\\ny\"")
    }

    @Test("Colours only where they are asked for")
    func colours() {
        let record = Self.record(level: .error)
        #expect(TextLogFormatter(colours: true).format(record).contains("\u{1B}[31merror\u{1B}[0m"))
        #expect(!TextLogFormatter(colours: false).format(record).contains("\u{1B}"))
    }

    @Test("The handler writes whole lines, JSON where the output is no terminal")
    func handler() async throws {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let style = LogStyle(.info, .auto, for: output)
        let writer = LatchstringLogHandler.writer(output, style)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    var logger = Logger(label: "l\(number)") { label in
                        LatchstringLogHandler(label: label, style: style, writer: writer)
                    }
                    logger[metadataKey: "connection"] = "\(number)"
                    logger.debug("not written")
                    for _ in 0..<50 { logger.info("line", metadata: ["n": "1"]) }
                }
            }
        }
        writer.shutdown()
        try pipe.fileHandleForWriting.close()
        let lines = try #require(try pipe.fileHandleForReading.readToEnd()).split(separator: 0x0A)
        #expect(lines.count == 200)
        for line in lines {
            let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: String])
            #expect(object["message"] == "line")
            #expect(object["label"] == "l\(object["connection"] ?? "")")
        }
    }

    @Test("A reload changes the level and the format for loggers that there are")
    func change() throws {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let style = LogStyle(.info, .json, for: output)
        let writer = LatchstringLogHandler.writer(output, style)
        let logger = Logger(label: "l") { label in LatchstringLogHandler(label: label, style: style, writer: writer) }
        var own = logger
        own.logLevel = .error
        logger.debug("one")
        style.change(.debug, .text, for: output)
        logger.debug("two")
        own.info("three")
        style.change(.warning, .json, for: output)
        logger.info("four")
        logger.warning("five")
        writer.shutdown()
        try pipe.fileHandleForWriting.close()
        let text = String(decoding: try #require(try pipe.fileHandleForReading.readToEnd()), as: UTF8.self)
        let lines = text.split(separator: "\n")
        #expect(lines.count == 2 && lines[0].contains("debug    l: two"), "\(lines)")
        #expect(lines.last?.contains(#""level":"warning","label":"l","message":"five""#) == true, "\(lines)")
    }

    @Test("A reader that does not read stops no writer, and learns how much it missed", .timeLimit(.minutes(1)))
    func blockedReader() throws {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let style = LogStyle(.info, .json, for: output)
        let writer = LatchstringLogHandler.writer(output, style)
        let logger = Logger(label: "l") { label in LatchstringLogHandler(label: label, style: style, writer: writer) }
        // The pipe takes 64 KiB: with a write to it in the way, this would never come to its end.
        let text = String(repeating: "x", count: 1000)
        let count = 3 * LogWriter.capacity / 1000
        for number in 0..<count { logger.info("line", metadata: ["n": "\(number)", "text": "\(text)"]) }
        let reader = pipe.fileHandleForReading
        let collected = NIOLockedValueBox(Data())
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            while let part = try? reader.read(upToCount: 65_536), !part.isEmpty {
                collected.withLockedValue { $0.append(part) }
            }
            done.signal()
        }
        writer.shutdown()
        try pipe.fileHandleForWriting.close()
        done.wait()
        let lines = try collected.withLockedValue { data in
            try data.split(separator: 0x0A).map {
                try #require(try JSONSerialization.jsonObject(with: Data($0)) as? [String: String])
            }
        }
        let written = lines.filter { $0["message"] == "line" }
        let missed = lines.compactMap { $0["left_out"].flatMap(Int.init) }.reduce(0, +)
        #expect(missed > 0)
        #expect(written.count + missed == count)
        #expect(written.map { $0["n"] }.prefix(3) == ["0", "1", "2"])
    }
}
