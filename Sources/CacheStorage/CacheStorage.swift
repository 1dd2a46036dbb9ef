import GRDB
import HTTPCaching
