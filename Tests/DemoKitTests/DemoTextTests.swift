import FoundationEssentials
import Testing

@testable import DemoKit

@Suite struct DemoTextTests {
    @Test func columnsAreAsWideAsTheirWidestCell() {
        var table = TextTable(headings: [("mode", .left), ("ms", .right)])
        table.rows = [
            [.init(text: "relay"), .init(text: "9.1", tone: .good)], [.init(text: "x"), .init(text: "10.0")],
        ]
        #expect(table.text(DemoColours(isOn: false)) == "  mode     ms\n  relay   9.1\n  x      10.0\n")
    }

    @Test func coloursDoNotMoveColumns() {
        var table = TextTable(headings: [("a", .left), ("b", .left)])
        table.rows = [[.init(text: "1", tone: .bad), .init(text: "2")]]
        let plain = table.text(DemoColours(isOn: false))
        let coloured = table.text(DemoColours(isOn: true))
        #expect(coloured.contains("\u{1B}[31m1\u{1B}[0m"))
        #expect(coloured.replacing(/\u{1B}\[\d+m/, with: "") == plain)
    }

    @Test func durationsHaveOneDecimal() {
        #expect(Duration.milliseconds(12).milliseconds == "12.0")
        #expect(Duration.microseconds(12_345).milliseconds == "12.3")
        #expect(Duration.microseconds(50).milliseconds == "0.1")
        #expect(Duration.seconds(61).milliseconds == "61000.0")
    }

    @Test func onlySuccessfulSignaturesOfTheSiteAreCounted() throws {
        let directory = try DemoStage.makeTemporaryDirectory()
        let path = "\(directory)/audit.jsonl"
        let lines = [
            #"{"time":"t","edge":"demo","site":"a.test","operation":"sign-tls13","outcome":"ok","us":1}"#,
            #"{"time":"t","edge":"demo","site":"a.test","operation":"handoff","outcome":"ok","us":1}"#,
            #"{"time":"t","edge":"demo","site":"a.test","operation":"sign-tls13","outcome":"denied","us":1}"#,
            #"{"time":"t","edge":"demo","site":"a.test","operation":"certificate","outcome":"ok","us":1}"#,
            #"{"time":"t","edge":"demo","site":"b.test","operation":"sign-tls13","outcome":"ok","us":1}"#,
            #"{"time":"t","edge":"demo","site":null,"operation":"connection","outcome":"ok","us":1}"#,
            #"{"time":"t","edge":"demo","site":"a.te"#,
        ]
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(filePath: path))
        #expect(AuditTrail(path: path).operations(for: "a.test") == 2)
        #expect(AuditTrail(path: path).operations(for: "c.test") == 0)
        #expect(AuditTrail(path: "\(directory)/none").operations(for: "a.test") == 0)
        try DemoStage.removeDirectory(directory)
    }
}
