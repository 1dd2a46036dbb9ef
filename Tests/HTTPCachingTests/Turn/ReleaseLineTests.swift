import HTTPCaching
import Testing

/// Who waited in vain goes in an orderly way.
@Suite struct ReleaseLineTests {
    @Test func theFirstGoAndEachAnswerLetsTwoMoreGo() {
        var line = ReleaseLine()
        let places = (0..<40).map { _ in line.enter() }
        #expect(places.map(\.goes) == (0..<40).map { $0 < ReleaseLine.width })
        #expect(line.leave(places[0].place, status: 200) == [places[16].place, places[17].place])
        #expect(line.leave(places[1].place, status: 404) == [places[18].place, places[19].place])
    }

    @Test func whatIsNoAnswerLetsOneGo() {
        var line = ReleaseLine()
        let places = (0..<40).map { _ in line.enter() }
        #expect(line.leave(places[0].place, status: nil) == [places[16].place])
        #expect(line.leave(places[1].place, status: 503) == [places[17].place])
    }

    @Test func thoseWhoLeaveBeforeTheirTurnArePassedOver() {
        var line = ReleaseLine()
        let places = (0..<20).map { _ in line.enter() }
        #expect(line.leave(places[16].place, status: nil).isEmpty)
        #expect(line.leave(places[17].place, status: nil).isEmpty)
        #expect(line.leave(places[0].place, status: nil) == [places[18].place])
    }

    @Test func nobodyLeavesTwice() {
        var line = ReleaseLine()
        let places = (0..<20).map { _ in line.enter() }
        #expect(line.leave(places[0].place, status: nil).count == 1)
        #expect(line.leave(places[0].place, status: 200).isEmpty)
        #expect(line.leave(99, status: 200).isEmpty)
    }

    @Test func theLineEndsWithItsLast() {
        var line = ReleaseLine()
        let places = (0..<20).map { _ in line.enter().place }
        for place in places {
            #expect(!line.isEmpty)
            _ = line.leave(place, status: 200)
        }
        #expect(line.isEmpty)
    }
}
