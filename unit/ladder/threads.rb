# SPDX-License-Identifier: BSD-3-Clause
# threads - Thread, Mutex, ConditionVariable, Queue, SizedQueue, Monitor, thread locals, kill and raise.
require 'digest/sha2'
require 'monitor'

count = 0
mutex = Mutex.new
(0...100).map { Thread.new { 100.times { mutex.synchronize { count += 1 } } } }.each(&:join)
puts "mutex #{count}"

work = SizedQueue.new(4)
done = Queue.new
crew = (0...8).map { Thread.new { while (item = work.pop) != :end do done << item * item end } }
300.times { |i| work << i }
8.times { work << :end }
crew.each(&:join)
puts "queue #{Array.new(done.size) { done.pop }.sum}"

order = []
turn = 0
lock = Mutex.new
changed = ConditionVariable.new
(0...20).to_a.reverse.map do |n|
  Thread.new do
    lock.synchronize do
      changed.wait(lock) until turn == n
      order << n
      turn += 1
      changed.broadcast
    end
  end
end.each(&:join)
puts "condition #{order.join(' ')}"

Digest::SHA256.hexdigest('') # the first use sets the class up, which Ruby does not lock
sums = (0...10).map { |n| Thread.new { Thread.current[:n] = n; Digest::SHA256.hexdigest(n.to_s * 10_000)[0, 8] } }.map(&:value)
puts "values #{sums.join(' ')}"

sleeper = Thread.new { sleep }
Thread.pass until sleeper.stop?
sleeper.kill
puts "killed #{sleeper.join.inspect.nil?} #{sleeper.alive?}"
victim = Thread.new { begin; sleep; rescue ArgumentError => e; e.message; end }
Thread.pass until victim.stop?
victim.raise(ArgumentError, 'woken')
puts "raised #{victim.value}"
puts "timeout #{Queue.new.pop(true) rescue 'empty'}"
reader, writer = IO.pipe
Thread.new { sleep 0.01; writer.puts 'through the pipe'; writer.close }
puts reader.read
exit 4
