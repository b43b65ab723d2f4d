# SPDX-License-Identifier: MIT
# A JVM: threads on big stacks, most born detached.
# needs: java javac
# expect: .totals.affinity.self == 0
# expect: .totals.threads.detached >= 10
cat >A.java <<'JAVA'
public class A {
  public static void main(String[] a) throws Exception {
    Thread[] t = new Thread[4];
    for (int i = 0; i < 4; i++) { t[i] = new Thread(() -> {}, "worker-" + i); t[i].start(); }
    for (Thread x : t) x.join();
    System.out.println("joined");
    System.exit(4);
  }
}
JAVA
javac A.java || exit
run java -XX:+UseParallelGC -XX:TieredStopAtLevel=1 -cp . A
