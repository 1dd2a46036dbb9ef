import Foundation
import HTTPFields
import NIOCore
import Testing

@testable import Telemetry

@Suite("Lines of the access log")
struct AccessLineTests {
    /// A request as a client sent it, with whatever stands in it.
    static func record(
        target: [UInt8] = Array("/a?b=c".utf8), fields: [(String, [UInt8])] = [], layout: AccessLayout,
        status: Int = 200
    ) throws -> AccessRecord {
        var record = AccessRecord(
            site: "www.example.test", status: status, bytes: 1234, duration: .microseconds(1_002_003),
            outcome: "complete")
        record.client = try SocketAddress(ipAddress: "2001:db8::7", port: 4711)
        record.mode = "handoff"
        record.host = "www.example.test"
        record.method = "GET"
        record.httpVersion = "HTTP/2"
        record.firstByte = .microseconds(2003)
        record.origin = .init(
            address: try SocketAddress(ipAddress: "192.0.2.1", port: 8080), firstByte: .milliseconds(1),
            duration: .milliseconds(2))
        record.cache = "miss"
        record.tls = ClientTLS(version: "TLSv1.3", suite: "TLS_AES_128_GCM_SHA256", resumed: false)
        record.connection = 7
        record.number = 2
        var builder = FieldSectionBuilder()
        for (name, value) in fields {
            let field = try #require(KnownField(name.utf8))
            try value.withUnsafeBytes { try builder.add(field, $0) }
        }
        "4f1c".utf8.withContiguousStorageIfAvailable { record.takeRequestID(UnsafeRawBufferPointer($0)) }
        record.take(ByteBuffer(bytes: target), builder.section, for: layout)
        return record
    }

    static func line(_ record: AccessRecord, _ layout: AccessLayout) -> String {
        var line: [UInt8] = []
        layout.write(record, to: &line)
        return String(decoding: line, as: UTF8.self)
    }

    static func json(_ record: AccessRecord, _ layout: AccessLayout) throws -> [String: Any] {
        let line = Self.line(record, layout)
        #expect(line.hasSuffix("}\n") && line.filter(\.isNewline).count == 1)
        return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    @Test("JSON says all that is known, and nothing else")
    func jsonIsComplete() throws {
        let layout = AccessLayout(.json)
        let record = try Self.record(
            fields: [("Referer", Array("https://a.test/".utf8)), ("User-Agent", Array("curl/8".utf8))], layout: layout)
        let object = try Self.json(record, layout)
        let expected: [String: String] = [
            "client": "2001:db8::7", "site": "www.example.test", "mode": "handoff", "host": "www.example.test",
            "method": "GET", "target": "/a?b=c", "protocol": "HTTP/2", "status": "200", "bytes": "1234",
            "duration": "1.002003", "first_byte": "0.002003", "origin_address": "192.0.2.1:8080",
            "origin_first_byte": "0.001", "origin_duration": "0.002", "cache": "miss", "tls_version": "TLSv1.3",
            "tls_suite": "TLS_AES_128_GCM_SHA256", "tls_resumed": "0", "referrer": "https://a.test/",
            "user_agent": "curl/8", "request_id": "4f1c", "connection": "7", "number": "2", "outcome": "complete",
        ]
        #expect(Set(object.keys) == Set(expected.keys).union(["time"]))
        for (key, value) in expected where key != "tls_resumed" {
            #expect("\(object[key] ?? "none")" == value, "\(key)")
        }
        #expect(object["tls_resumed"] as? Bool == false)
        #expect(Self.line(record, layout).contains("\"duration\":1.002003,\"first_byte\":0.002003,"))
    }

    @Test("combined is what other servers write")
    func combined() throws {
        let layout = AccessLayout(.combined)
        let line = Self.line(
            try Self.record(fields: [("User-Agent", Array("a b".utf8))], layout: layout, status: 0), layout)
        let pattern = #/2001:db8::7 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] /#
        let start = try #require(line.prefixMatch(of: pattern))
        // A client that left before it was answered has nginx's number for that.
        #expect(line[start.range.upperBound...] == "\"GET /a?b=c HTTP/2\" 499 1234 \"-\" \"a b\"\n")
        #expect(AccessClock.text(1_795_981_080) == "29/Nov/2026:19:38:00 +0000")
    }

    @Test("A relayed connection has a line that readers of web servers' logs take for a tunnel's")
    func relay() {
        var record = AccessRecord(site: "r.test", status: 200, bytes: 10, duration: .seconds(1), outcome: "closed")
        record.mode = "relay"
        record.host = "r.test"
        record.received = 20
        let line = Self.line(record, AccessLayout(.combined))
        #expect(line.hasSuffix("\"CONNECT r.test:443 HTTP/1.1\" 200 10 \"-\" \"-\"\n"))
        #expect(Self.line(record, AccessLayout(.json)).contains("\"received\":20"))
        let masked = AccessLayout(.combined, mask: AccessMask(fields: [.host]))
        #expect(Self.line(record, masked).contains("\"CONNECT ***:443 HTTP/1.1\""))
        // A request that could not be read is no tunnel.
        record.mode = "handoff"
        #expect(Self.line(record, AccessLayout(.combined)).hasSuffix("\"-\" 200 10 \"-\" \"-\"\n"))
    }

    @Test(
        "What clients send neither ends a line nor looks like another value",
        arguments: [
            Array("\" 200 1 \"x\" \"".utf8), Array("\\\" \\\\".utf8), [0x0A, 0x0D, 0x00, 0x1B, 0x7F],
            Array("\u{85}ä🙂".utf8),
            [0xFF, 0x22, 0xC3, 0x28], Array("{\"a\":1}".utf8),
        ])
    func hostile(bytes: [UInt8]) throws {
        let visible = bytes.filter { $0 >= 0x20 && $0 != 0x7F }
        let fields = [("User-Agent", visible), ("Referer", visible)]
        let target = Array("/".utf8) + bytes
        for text in ["combined", "{client} \"{target}\" \"{user_agent}\" {referrer}"] {
            let layout = text == "combined" ? AccessLayout(.combined) : try AccessLayout(template: text)
            var line: [UInt8] = []
            layout.write(try Self.record(target: target, fields: fields, layout: layout), to: &line)
            #expect(line.last == 0x0A)
            #expect(line.dropLast().allSatisfy { (0x20...0x7E).contains($0) })
            // Only the quotes of the format are quotes.
            #expect(line.count { $0 == UInt8(ascii: "\"") } == (text == "combined" ? 6 : 4))
        }
        let layout = AccessLayout(.json)
        let record = try Self.record(target: target, fields: fields, layout: layout)
        let object = try Self.json(record, layout)
        if let text = String(validating: target, as: UTF8.self) { #expect(object["target"] as? String == text) }
        #expect(object["status"] as? Int == 200)
        #expect(!Self.line(record, layout).unicodeScalars.dropLast().contains { $0.value < 0x20 || $0.value == 0x7F })
    }

    @Test("As nginx escapes them")
    func escapes() throws {
        let layout = try AccessLayout(template: "{target}")
        let record = try Self.record(target: Array("/\"\\\n\u{7F}é ".utf8), layout: layout)
        #expect(Self.line(record, layout) == "/\\x22\\x5C\\x0A\\x7F\\xC3\\xA9 \n")
    }

    @Test("A template has names, fields of requests and braces")
    func template() throws {
        let layout = try AccessLayout(
            template: "{{{status}}} {field:accept-language} {field:Accept} {tls_group} {time}")
        let record = try Self.record(
            fields: [("Accept", Array("*/*".utf8)), ("Accept-Language", Array("de".utf8))], layout: layout)
        #expect(Self.line(record, layout).hasPrefix("{200} de */* - 20"))
        for (wrong, name) in [
            ("{nothing}", "nothing"), ("{field:}", "field:"), ("{field:a b}", "field:a b"), ("a {", nil), ("}", nil),
            ("{field:Cookie}", "field:Cookie"), ("{field:authorization}", "field:authorization"), ("{status}\n", nil),
        ] as [(String, String?)] {
            #expect(throws: AccessTemplateError(name: name), "\(wrong)") { try AccessLayout(template: wrong) }
        }
    }

    @Test(
        "Parameters that are to be hidden are, however they are spelled",
        arguments: [
            ("/a?token=1&b=2", "/a?token=***&b=2"), ("/a?x=1;TOKEN=2", "/a?x=1;TOKEN=***"),
            ("/a?%74ok%65n=1", "/a?%74ok%65n=***"), ("/a?token", "/a?token"), ("/a?token=", "/a?token=***"),
            ("/a?tokens=1", "/a?tokens=1"), ("/a?b=token=1", "/a?b=token=1"), ("/token=1", "/token=1"),
            ("/a?&token=1&&token=2", "/a?&token=***&&token=***"), ("/a?b=1?token=2", "/a?b=1?token=2"),
            ("/a?my+key=1", "/a?my+key=***"), ("/a?my%20key=1", "/a?my%20key=***"),
        ])
    func parameters(target: String, expected: String) throws {
        let mask = AccessMask(parameters: ["token", "my key"])
        let layout = AccessLayout(.json, mask: mask)
        let record = try Self.record(
            target: Array(target.utf8), fields: [("Referer", Array("https://r.test\(target)".utf8))], layout: layout)
        let object = try Self.json(record, layout)
        #expect(object["target"] as? String == expected)
        #expect(object["referrer"] as? String == "https://r.test\(expected)")
        #expect(Self.line(record, AccessLayout(.combined, mask: mask)).contains("\"GET \(expected) HTTP/2\""))
        let all = AccessLayout(.json, mask: AccessMask(parameters: ["*"]))
        let hidden = try Self.json(record, all)["target"] as? String ?? ""
        #expect(!hidden.contains("=1") && !hidden.contains("=2") || !target.contains("?"))
        #expect(!hidden.hasSuffix("?token"))
    }

    @Test("Fields that are to be hidden are, in the request's line too")
    func maskedFields() throws {
        let mask = AccessMask(fields: [.client, .target, .userAgent])
        let layout = AccessLayout(.combined, mask: mask)
        let line = Self.line(try Self.record(fields: [("User-Agent", Array("me".utf8))], layout: layout), layout)
        #expect(line.hasPrefix("*** - - [") && line.hasSuffix("\"GET *** HTTP/2\" 200 1234 \"-\" \"***\"\n"))
    }

    @Test("What is hidden is hidden under a request's own names, too")
    func maskedRequestFields() throws {
        let names = ["Referer", "User-Agent", "Host", "X-Original-URL"]
        let template = "{field:referer} {field:User-Agent} {field:host} {field:x-original-url}"
        let fields = names.map { ($0, Array("/\($0)?token=1&b=2".utf8)) }
        func line(_ mask: AccessMask) throws -> String {
            let layout = try AccessLayout(template: template, mask: mask)
            return Self.line(try Self.record(fields: fields, layout: layout), layout)
        }
        #expect(
            try line(AccessMask(parameters: ["token"], fields: [.userAgent]))
                == "/Referer?token=***&b=2 *** /Host?token=***&b=2 /X-Original-URL?token=***&b=2\n")
        #expect(try line(AccessMask(fields: [.referrer, .host, .target])) == "*** /User-Agent?token=1&b=2 *** ***\n")
    }

    @Test("A record is bounded, whatever the client sends")
    func bounds() throws {
        let layout = AccessLayout(.json)
        let long = [UInt8](repeating: UInt8(ascii: "x"), count: 60_000)
        var record = try Self.record(target: long, fields: [("User-Agent", long), ("Referer", long)], layout: layout)
        #expect(record.size < 16_384)
        let size = record.size
        record.method = String(decoding: long, as: UTF8.self)
        #expect(try Self.json(record, layout)["method"] as? String == String(repeating: "x", count: 2048))
        #expect(record.size == size - 3 + 2048)
        record.host = nil
        #expect(record.size == size - 3 + 2048 - 16)
        #expect((try Self.json(record, layout)["target"] as? String)?.utf8.count == AccessText.targetLimit)
    }
}
