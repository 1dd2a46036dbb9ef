import Logging
import NIOCore
import NIOEmbedded
import Telemetry
import TestLogs
import Testing

@Suite struct ReportLogTests {
    @Test func aFloodOfRefusedClientsIsAFewLinesAndACount() throws {
        let recorder = LogRecorder()
        let loop = EmbeddedEventLoop()
        let reports = ReportLog(Logger(label: "t") { _ in recorder.handler }, clock: loop)
        let start = NIODeadline.now()
        for number in 0..<10_000 {
            reports.write(.info, "client hello refused", now: start + .microseconds(Int64(number)), ["reason": "x"])
        }
        // Others are not their concern.
        reports.write(.info, "relay failed", now: start, [:])
        reports.write(.warning, "client hello refused", now: start, [:])
        #expect(recorder.lines("client hello refused").count == ReportLog.burst + 1)
        #expect(recorder.lines("relay failed").count == 1)
        loop.advanceTime(by: .seconds(10))
        let summary = try #require(recorder.lines("lines left out").first)
        #expect(summary.metadata["left_out"] == "\(10_000 - ReportLog.burst)")
        #expect(summary.metadata["of"] == "client hello refused")
        reports.write(.info, "client hello refused", now: start + .seconds(1), [:])
        #expect(recorder.lines("client hello refused").last?.metadata["left_out"] == nil)
    }

    @Test func theNextLineTellsWhatWasLeftOut() {
        let recorder = LogRecorder()
        let reports = ReportLog(Logger(label: "t") { _ in recorder.handler }, clock: nil)
        let start = NIODeadline.now()
        for _ in 0..<150 { reports.write(.info, "relay failed", now: start, [:]) }
        reports.write(.info, "relay failed", now: start + .seconds(1), [:])
        #expect(recorder.lines("relay failed").last?.metadata["left_out"] == "\(150 - ReportLog.burst)")
        for _ in 0..<1000 { reports.write(.debug, "relay failed", now: start, [:]) }
        #expect(recorder.lines("relay failed").count == ReportLog.burst + 1 + 1000)
    }
}
