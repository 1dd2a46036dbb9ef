import HTTPCaching
import Testing
