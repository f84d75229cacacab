// SPDX-License-Identifier: BSD-3-Clause
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** HttpServer: GET /N answers N bytes of a pattern, POST /echo what it is sent. Client: tools/tests/servers. */
public class Serve {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/echo", exchange -> {
            byte[] data = exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, data.length);
            exchange.getResponseBody().write(data);
            exchange.close();
        });
        server.createContext("/", exchange -> {
            byte[] data = new byte[Integer.parseInt(exchange.getRequestURI().getPath().substring(1))];
            for (int i = 0; i < data.length; i++)
                data[i] = (byte) (i * 7 % 251);
            exchange.sendResponseHeaders(200, data.length);
            exchange.getResponseBody().write(data);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }
}
