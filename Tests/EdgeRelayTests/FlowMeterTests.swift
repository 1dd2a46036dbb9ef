import Testing

@testable import EdgeRelay

@Suite("Bulk is told from talk") struct FlowMeterTests {
    @Test("Large reads one after another make bulk; one small one between them does not")
    func begins() {
        var meter = FlowMeter()
        meter.read(FlowMeter.large)
        meter.read(100)
        meter.read(FlowMeter.large)
        #expect(!meter.isBulk)
        meter.read(FlowMeter.large)
        #expect(meter.isBulk)
    }

    @Test("Small moves one after another end it")
    func ends() {
        var meter = FlowMeter()
        for _ in 0..<2 { meter.read(FlowMeter.large) }
        for _ in 0..<7 { meter.moved(100) }
        meter.moved(FlowMeter.large)
        for _ in 0..<7 { meter.moved(100) }
        #expect(meter.isBulk)
        meter.moved(100)
        #expect(!meter.isBulk)
    }
}
