# what: dates, clocks and time zones
import datetime
import time

a, b = map(int, input().split())
moment = datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)
later = moment + datetime.timedelta(minutes=a) + datetime.timedelta(minutes=b)
time.perf_counter(), time.process_time(), time.localtime(), datetime.datetime.now()
print((later - moment).seconds // 60)
