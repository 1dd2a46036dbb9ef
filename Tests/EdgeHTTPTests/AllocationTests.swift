import Foundation
import TestSockets
import Testing

/// How many blocks of memory one request takes on the edge's event loop: the program `allocations` counts them, and the bounds stand
/// beside it, one list for each kind of build. Fewer is welcome, and then the bounds are to be lowered.
///
/// So it is with what a cached KiB takes of the memory.
///
/// Tests are built without the optimiser, and many a value that lives in registers is a block then; that list keeps what is written from
/// growing. The figures that count are those of the release build: `Benchmarks/allocations/run`.
@Suite(.timeLimit(.minutes(2))) struct AllocationTests {
    private struct Report: Decodable {
        var build: String
        var figures: [String: Int]
    }

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Benchmarks/allocations")

    @Test func aRequestTakesFewBlocksAndAnEntryFewBytes() throws {
        let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            .appending(path: "allocations").path
        let output = try Tool.run(program, [], limit: 90).output
        let report = try JSONDecoder().decode(Report.self, from: Data(output.utf8))
        let thresholds = try Data(contentsOf: Self.folder.appending(path: "thresholds.json"))
        let lists = try JSONDecoder().decode([String: [String: Int]].self, from: thresholds)
        let bounds = try #require(lists[report.build])
        #expect(Set(report.figures.keys) == Set(bounds.keys))
        for (name, count) in report.figures {
            #expect(count <= bounds[name, default: 0], "\(name) in a \(report.build) build")
        }
        // What the store counts against its limit is no less than what it takes.
        let taken = try #require(report.figures["bytes-cached-kib"])
        #expect(try #require(report.figures["bytes-cached-kib-counted"]) >= taken)
    }
}
